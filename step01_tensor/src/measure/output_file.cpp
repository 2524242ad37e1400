#include <kvlab/tensor/output_file.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <climits>
#include <csignal>
#include <cstring>
#include <utility>

namespace kvlab {

namespace fs = std::filesystem;

namespace {

// The names of unfinished files, where a signal handler may read them: it must not allocate,
// nor read memory that another thread frees.
struct WatchedFile {
    std::atomic<bool> taken{false};  // by an OutputFile
    std::atomic<bool> ready{false};  // the name is complete
    char name[PATH_MAX];
};

std::array<WatchedFile, 16> watched_files;

// The place of `name` in the list, or -1 if the list is full or the name too long.
int watch(const fs::path& name) {
    std::error_code failed;
    // Absolute, since the program may change its folder.
    const std::string absolute = fs::absolute(name, failed).string();
    if (failed || absolute.size() >= sizeof(WatchedFile::name)) return -1;
    for (std::size_t i = 0; i < watched_files.size(); ++i) {
        WatchedFile& file = watched_files[i];
        if (file.taken.exchange(true)) continue;
        std::memcpy(file.name, absolute.c_str(), absolute.size() + 1);
        file.ready.store(true);
        return static_cast<int>(i);
    }
    return -1;
}

void unwatch(int place) {
    if (place < 0) return;
    WatchedFile& file = at(watched_files, place);
    file.ready.store(false);
    file.taken.store(false);
}

// SA_RESETHAND has put the default action back, so that raising the signal again ends the
// program, and whoever started it learns by which signal.
void remove_and_end(int signal) {
    for (const WatchedFile& file : watched_files)
        if (file.ready.load()) ::unlink(file.name);
    ::raise(signal);
}

// The number of one of this process's own streams, which is what /dev/stdout, /dev/fd/3 and the
// like lead to; -1 for any other name. The file behind it belongs to whoever redirected the
// stream, and is open already.
int own_stream(const fs::path& path) {
    const fs::path folder = path.parent_path();
    if (folder != "/proc/self/fd" && folder != "/dev/fd" &&
        folder != concat("/proc/", ::getpid(), "/fd"))
        return -1;
    const std::string name = path.filename().string();
    int number = -1;
    const auto read = std::from_chars(name.data(), name.data() + name.size(), number);
    return read.ec == std::errc() && read.ptr == name.data() + name.size() ? number : -1;
}

// Where the chain of symbolic links that begins at `path` ends; the last name need not exist.
fs::path follow_links(fs::path path) {
    std::error_code ignored;
    for (int links = 0; links < 40; ++links) {
        if (own_stream(path) >= 0 || !fs::is_symlink(path, ignored)) return path;
        const fs::path target = fs::read_symlink(path, ignored);
        path = target.is_absolute() ? target : path.parent_path() / target;
    }
    throw Error(concat(path.string(), ": cannot write: ", std::strerror(ELOOP)));
}

}  // namespace

OutputFile::OutputFile(const fs::path& path) : path_(follow_links(path)) {
    check(!path.empty(), "expected the name of a file to write, found an empty one");

    struct stat found {};

    const bool exists = ::stat(path.c_str(), &found) == 0;
    check(!exists || !S_ISDIR(found.st_mode), path.string(),
          ": cannot write: expected a file, found a folder");
    if (exists && !S_ISREG(found.st_mode)) {
        path_ = path;
        descriptor_ = ::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY);
        if (descriptor_ < 0) fail("write");
    } else if (const int stream = own_stream(path_); stream >= 0) {
        // Opened anew, the file would be written from its beginning, over what is there.
        descriptor_ = ::fcntl(stream, F_DUPFD_CLOEXEC, 0);
        if (descriptor_ < 0) fail("write");
    } else {
        open_temporary(exists ? &found : nullptr);
    }
}

OutputFile::~OutputFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
    if (descriptor_ >= 0 && !temporary_.empty()) ::unlink(temporary_.c_str());
    unwatch(watched_);
}

void OutputFile::fail(const char* what) const {
    const int reason = errno;
    const std::string after = written_ > 0 ? concat(" after ", written_, " bytes") : "";
    throw Error(concat(path_.string(), ": cannot ", what, after, ": ", std::strerror(reason)));
}

// Beside the target, so that it can be renamed to it. O_EXCL: a link or a file that somebody
// has put under this name is neither followed nor overwritten; the next number is tried.
void OutputFile::open_temporary(const struct stat* old) {
    static std::atomic<int> number{0};
    // As root everything may be written; others must not replace what they may not change.
    if (old != nullptr && ::access(path_.c_str(), W_OK) != 0) fail("write");
    const std::string name = path_.filename().string();
    for (int attempt = 0; attempt < 100; ++attempt) {
        const std::string ending = concat(".tmp", ::getpid(), '.', number++);
        // A file's name has at most 255 bytes.
        temporary_ = path_.parent_path() / (name.substr(0, 255 - ending.size()) + ending);
        // Before it is there: a signal may come as soon as it is.
        watched_ = watch(temporary_);
        descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
                             old != nullptr ? 0600 : 0666);
        if (descriptor_ >= 0) break;
        const int reason = errno;
        unwatch(std::exchange(watched_, -1));
        errno = reason;
        if (reason != EEXIST) break;
    }
    if (descriptor_ < 0) fail("write");
    if (old == nullptr) return;
    // Whoever could read the old file, and no one else, can read the new one. The owner stays
    // where this user may give files away.
    if (::fchown(descriptor_, old->st_uid, old->st_gid) != 0) errno = 0;
    if (::fchmod(descriptor_, old->st_mode & 07777) != 0) errno = 0;
}

void OutputFile::write(std::string_view text) {
    write(std::as_bytes(std::span(text)));
}

void OutputFile::write(std::span<const std::byte> bytes) {
    constexpr std::size_t kBuffered = std::size_t{1} << 16;
    buffer_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    if (buffer_.size() >= kBuffered) flush();
}

void OutputFile::flush() {
    std::string_view left = buffer_;
    while (!left.empty()) {
        const ssize_t count = ::write(descriptor_, left.data(), left.size());
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) fail("write");
        written_ += count;
        left.remove_prefix(usize(count));
    }
    buffer_.clear();
}

void OutputFile::commit() {
    check(descriptor_ >= 0, path_.string(), ": is complete already");
    flush();
    if (!temporary_.empty()) {
        if (::fsync(descriptor_) != 0) fail("sync");
        if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail("rename to this name");
    }
    const int closed = ::close(descriptor_);
    descriptor_ = -1;
    unwatch(std::exchange(watched_, -1));
    if (temporary_.empty()) {
        if (closed != 0) fail("write");
        return;
    }
    // The folder's entry, too. Not every file system can; the file itself is safe already.
    const fs::path folder = path_.has_parent_path() ? path_.parent_path() : fs::path(".");
    const int directory = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) return;
    ::fsync(directory);
    ::close(directory);
}

void remove_unfinished_files_on_signals() {
    struct sigaction action {};

    action.sa_handler = remove_and_end;
    action.sa_flags = SA_RESETHAND | SA_NODEFER;
    sigemptyset(&action.sa_mask);
    for (const int signal : {SIGHUP, SIGINT, SIGQUIT, SIGPIPE, SIGTERM, SIGXCPU, SIGXFSZ}) {
        struct sigaction now {};

        if (::sigaction(signal, nullptr, &now) == 0 && now.sa_handler == SIG_DFL)
            ::sigaction(signal, &action, nullptr);
    }
}

}  // namespace kvlab
