#include <kvlab/weights/atomic_file.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>

namespace kvlab {

namespace fs = std::filesystem;

AtomicFile::AtomicFile(const fs::path& path) : path_(path) {
    static std::atomic<int> number{0};
    std::error_code ignored;
    const fs::file_status status = fs::status(path, ignored);
    check(!fs::exists(status) || fs::is_regular_file(status), path.string(),
          ": cannot write: expected a plain file or none, found something else");
    if (fs::is_symlink(path, ignored)) path_ = fs::weakly_canonical(path, ignored);
    temporary_ = path_;
    temporary_ += concat(".tmp", ::getpid(), '.', number++);
    descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    check(descriptor_ >= 0, path_.string(), ": cannot write: ", std::strerror(errno));
}

AtomicFile::~AtomicFile() {
    if (descriptor_ < 0) return;
    ::close(descriptor_);
    ::unlink(temporary_.c_str());
}

void AtomicFile::fail(const char* what) const {
    throw Error(concat(path_.string(), ": cannot ", what, " after ", written_,
                       " bytes: ", std::strerror(errno)));
}

void AtomicFile::write(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const ssize_t count = ::write(descriptor_, bytes.data(), bytes.size());
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) fail("write");
        written_ += count;
        bytes = bytes.subspan(static_cast<std::size_t>(count));
    }
}

void AtomicFile::commit() {
    if (::fsync(descriptor_) != 0) fail("sync");
    if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail("rename");
    ::close(descriptor_);
    descriptor_ = -1;
    // The folder's entry, too. Not every file system can; the file itself is safe already.
    const fs::path folder = path_.has_parent_path() ? path_.parent_path() : fs::path(".");
    const int directory = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) return;
    ::fsync(directory);
    ::close(directory);
}

}  // namespace kvlab
