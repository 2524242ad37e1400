#include "mapped_file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include <kvlab/tensor/error.hpp>

namespace kvlab {

MappedFile::MappedFile(const std::filesystem::path& path) {
    // O_NONBLOCK: opening a pipe that nobody writes to must fail, not wait.
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    check(descriptor >= 0, path.string(), ": cannot open: ", std::strerror(errno));

    struct stat status {};

    const bool plain = ::fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode);
    size_ = static_cast<std::size_t>(status.st_size);
    void* mapped = MAP_FAILED;
    int reason = 0;
    if (plain && size_ > 0) {
        mapped = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, descriptor, 0);
        reason = errno;
    }
    ::close(descriptor);
    check(plain, path.string(), ": expected a plain file, found something else");
    check(size_ > 0, path.string(), ": expected a GGUF file, found an empty one");
    check(mapped != MAP_FAILED, path.string(), ": cannot map: ", std::strerror(reason));
    data_ = mapped;
}

MappedFile::~MappedFile() {
    ::munmap(data_, size_);
}

void MappedFile::release(std::span<const std::byte> part) const {
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    auto* const base = static_cast<std::byte*>(data_);  // where a page begins
    const auto begin = static_cast<std::size_t>(part.data() - base);
    const std::size_t first = (begin + page - 1) / page * page,
                      last = (begin + part.size()) / page * page;
    if (first < last) ::madvise(base + first, last - first, MADV_DONTNEED);
}

}  // namespace kvlab
