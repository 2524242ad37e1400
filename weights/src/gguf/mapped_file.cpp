#include "mapped_file.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include <kvlab/tensor/error.hpp>

namespace kvlab {

// Where a file lies in memory. The handler reads these at any moment, so they are atomic and
// never freed: a closed file's is used again.
struct MappedRange {
    std::atomic<bool> taken{true};
    std::atomic<std::uintptr_t> begin{0}, end{0};
    std::atomic<bool> cut{false};  // a page was touched that the file no longer has
    MappedRange* next = nullptr;
};

namespace {

std::atomic<MappedRange*> first_range{nullptr};
std::uintptr_t page_size = 0;

struct sigaction handler_before {};

// Zeros from the page of `address` to the end: what lies behind a missing page is missing, too.
bool fill_with_zeros(void* address) {
    const auto at = reinterpret_cast<std::uintptr_t>(address);
    for (MappedRange* range = first_range.load(); range != nullptr; range = range->next) {
        const std::uintptr_t end = range->end.load();
        if (at < range->begin.load() || at >= end) continue;
        range->cut.store(true);
        const std::size_t inside = at % page_size;  // of its page
        return ::mmap(static_cast<std::byte*>(address) - inside, end - (at - inside), PROT_READ,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED;
    }
    return false;
}

// Only what may be called inside a signal handler: system calls and atomic numbers.
void on_bus_error(int number, siginfo_t* info, void* context) {
    const int kept = errno;
    const bool mended = fill_with_zeros(info->si_addr);
    errno = kept;
    if (mended) return;
    if ((handler_before.sa_flags & SA_SIGINFO) != 0)
        handler_before.sa_sigaction(number, info, context);
    else if (handler_before.sa_handler != SIG_DFL && handler_before.sa_handler != SIG_IGN)
        handler_before.sa_handler(number);
    else
        ::signal(SIGBUS, SIG_DFL);  // the fault happens again and ends the program
}

void install_handler() {
    static const bool once = [] {
        page_size = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
        struct sigaction action {};

        action.sa_sigaction = on_bus_error;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK;
        ::sigemptyset(&action.sa_mask);
        return ::sigaction(SIGBUS, &action, &handler_before) == 0;
    }();
    check(once, "cannot watch for files that are cut short: ", std::strerror(errno));
}

MappedRange* take_range(const void* data, std::size_t size) {
    const auto begin = reinterpret_cast<std::uintptr_t>(data);
    MappedRange* range = first_range.load();
    for (bool free = false; range != nullptr; range = range->next, free = false)
        if (range->taken.compare_exchange_strong(free, true)) break;
    if (range == nullptr) {
        range = new MappedRange;
        range->next = first_range.load();
        while (!first_range.compare_exchange_weak(range->next, range)) {
        }
    }
    range->cut.store(false);
    range->begin.store(begin);
    range->end.store(begin + (size + page_size - 1) / page_size * page_size);
    return range;
}

}  // namespace

MappedFile::MappedFile(const std::filesystem::path& path) : path_(path) {
    install_handler();
    // O_NONBLOCK: opening a pipe that nobody writes to must fail, not wait.
    descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    check(descriptor_ >= 0, path.string(), ": cannot open: ", std::strerror(errno));

    struct stat status {};

    const bool plain = ::fstat(descriptor_, &status) == 0 && S_ISREG(status.st_mode);
    size_ = static_cast<std::size_t>(status.st_size);
    void* mapped = MAP_FAILED;
    int reason = 0;
    if (plain && size_ > 0) {
        mapped = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, descriptor_, 0);
        reason = errno;
    }
    if (mapped == MAP_FAILED) ::close(descriptor_);
    check(!S_ISDIR(status.st_mode), path.string(), ": expected a file, found a folder");
    check(plain, path.string(), ": expected a plain file, found something else");
    check(size_ > 0, path.string(), ": expected a GGUF file, found an empty one");
    check(mapped != MAP_FAILED, path.string(), ": cannot map: ", std::strerror(reason));
    data_ = mapped;
    range_ = take_range(data_, size_);
}

MappedFile::~MappedFile() {
    range_->end.store(0);
    range_->begin.store(0);
    range_->taken.store(false);
    ::munmap(data_, size_);
    ::close(descriptor_);
}

void MappedFile::release(std::span<const std::byte> part) const {
    auto* const base = static_cast<std::byte*>(data_);  // where a page begins
    const auto begin = static_cast<std::size_t>(part.data() - base);
    const std::size_t first = (begin + page_size - 1) / page_size * page_size,
                      last = (begin + part.size()) / page_size * page_size;
    if (first < last) ::madvise(base + first, last - first, MADV_DONTNEED);
}

void MappedFile::check_whole() const {
    struct stat status {};

    const bool known = ::fstat(descriptor_, &status) == 0;
    const auto now = known ? static_cast<std::size_t>(status.st_size) : 0;
    check(now >= size_ && !range_->cut.load(), path_.string(), ": expected ", size_,
          " bytes, as when it was opened, found ", now,
          ": the file was cut short while it was read");
}

}  // namespace kvlab
