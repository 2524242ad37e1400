// A file that a program writes: whole or not at all, whatever its name stands for.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>

#include <doctest/doctest.h>

#include <kvlab/tensor/output_file.hpp>

using namespace kvlab;
namespace fs = std::filesystem;

TEST_SUITE_BEGIN("step01");

namespace {

// A folder of its own, removed at the end.
struct Folder {
    Folder() {
        std::string name = (fs::temp_directory_path() / "kvlab_output_XXXXXX").string();
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        path = name;
    }

    ~Folder() { fs::remove_all(path); }

    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;

    std::size_t entries() const {
        return usize(std::distance(fs::directory_iterator(path), {}));
    }

    fs::path path;
};

std::string contents(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

void put(const fs::path& path, const std::string& text) {
    OutputFile file(path);
    file.write(text);
    file.commit();
}

std::string message_of(const fs::path& path) {
    try {
        OutputFile file(path);
    } catch (const Error& error) {
        return error.what();
    }
    return "no error";
}

fs::perms mode_of(const fs::path& path) {
    return fs::status(path).permissions();
}

}  // namespace

TEST_CASE("output file: there after commit, and not before") {
    const Folder folder;
    const fs::path path = folder.path / "a.json";
    put(path, "old");
    {
        OutputFile file(path);
        file.write("new, in ");
        file.write("two pieces");
        CHECK(contents(path) == "old");
        CHECK(folder.entries() == 2);
        file.commit();
        CHECK(contents(path) == "new, in two pieces");
        CHECK_THROWS_AS(file.commit(), Error);  // once
    }
    CHECK(folder.entries() == 1);
    {
        OutputFile file(path);
        file.write(std::string(1 << 18, 'x'));  // more than is buffered
    }
    CHECK(contents(path) == "new, in two pieces");
    CHECK(folder.entries() == 1);
}

TEST_CASE("output file: names that fail say why, before anything is written") {
    const Folder folder;
    CHECK(message_of(folder.path / "none" / "a")
              .ends_with("cannot write: No such file or directory"));
    CHECK(message_of(folder.path).ends_with("cannot write: expected a file, found a folder"));
    CHECK(message_of("").find("name of a file") != std::string::npos);
    put(folder.path / "file", "x");
    CHECK(message_of(folder.path / "file" / "a").ends_with("cannot write: Not a directory"));
    if (::geteuid() != 0) {  // root may write anything
        fs::permissions(folder.path / "file", fs::perms::owner_read);
        CHECK(message_of(folder.path / "file").ends_with("cannot write: Permission denied"));
    }
    // A name of 255 bytes has no space for an ending, and is a name all the same.
    const fs::path longest = folder.path / std::string(255, 'n');
    put(longest, "y");
    CHECK(contents(longest) == "y");
    CHECK(folder.entries() == 2);
}

TEST_CASE("output file: links are followed, also to what is not there yet") {
    const Folder folder;
    fs::create_directory(folder.path / "data");
    put(folder.path / "data" / "target", "old");
    fs::create_symlink("data/target", folder.path / "link");
    fs::create_symlink(folder.path / "link", folder.path / "link_to_link");
    fs::create_symlink("data/later", folder.path / "dangling");
    put(folder.path / "link_to_link", "new");
    put(folder.path / "dangling", "first");
    CHECK(fs::is_symlink(folder.path / "link"));
    CHECK(fs::is_symlink(folder.path / "link_to_link"));
    CHECK(fs::is_symlink(folder.path / "dangling"));
    CHECK(contents(folder.path / "data" / "target") == "new");
    CHECK(contents(folder.path / "data" / "later") == "first");
    fs::create_symlink("circle", folder.path / "circle");
    CHECK(message_of(folder.path / "circle").ends_with("Too many levels of symbolic links"));
    CHECK(fs::is_symlink(folder.path / "circle"));
}

TEST_CASE("output file: the mode of the older file stays, and nobody reads on meanwhile") {
    const Folder folder;
    const fs::path path = folder.path / "secret";
    put(path, "old");
    const fs::perms fresh = mode_of(path);
    CHECK((fresh & fs::perms::owner_all) == (fs::perms::owner_read | fs::perms::owner_write));
    fs::permissions(path, fs::perms::owner_read | fs::perms::owner_write);
    OutputFile file(path);
    for (const auto& entry : fs::directory_iterator(folder.path))
        CHECK(mode_of(entry.path()) == (fs::perms::owner_read | fs::perms::owner_write));
    file.write("new");
    file.commit();
    CHECK(contents(path) == "new");
    CHECK(mode_of(path) == (fs::perms::owner_read | fs::perms::owner_write));
}

TEST_CASE("output file: what is no plain file is written into, never replaced") {
    const Folder folder;
    const fs::path device = folder.path / "null";
    fs::create_symlink("/dev/null", device);
    put(device, "gone");
    put("/dev/null", "gone");
    CHECK(fs::is_symlink(device));
    CHECK(fs::is_character_file("/dev/null"));
    if (::geteuid() == 0 &&
        ::mknod((folder.path / "own").c_str(), S_IFCHR | 0600, (dev_t{1} << 8) | 3) == 0) {
        put(folder.path / "own", "gone");
        CHECK(fs::is_character_file(folder.path / "own"));
    }
    const fs::path pipe = folder.path / "pipe";
    REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
    const int reader = ::open(pipe.c_str(), O_RDONLY | O_NONBLOCK);
    put(pipe, "through");
    char text[16] = {};
    CHECK(::read(reader, text, sizeof text) == 7);
    CHECK(std::string(text) == "through");
    ::close(reader);
    CHECK(fs::is_fifo(pipe));
    if (fs::exists("/dev/full")) {  // a full disk
        OutputFile file("/dev/full");
        file.write("x");
        CHECK_THROWS_WITH_AS(file.commit(), "/dev/full: cannot write: No space left on device",
                             Error);
    }
}

TEST_CASE("output file: one of the process's own streams is written into") {
    const Folder folder;
    const fs::path path = folder.path / "redirected";
    const int stream = ::open(path.c_str(), O_RDWR | O_CREAT, 0600);
    REQUIRE(::write(stream, "table\n", 6) == 6);
    fs::create_symlink(concat("/proc/self/fd/", stream), folder.path / "link");
    for (const fs::path& name : {folder.path / "link", fs::path(concat("/dev/fd/", stream)),
                                 fs::path(concat("/proc/", ::getpid(), "/fd/", stream))})
        put(name, "report\n");
    REQUIRE(::write(stream, "end\n", 4) == 4);  // goes on behind, not over, what was written
    ::close(stream);
    CHECK(contents(path) == "table\nreport\nreport\nreport\nend\n");
    CHECK(folder.entries() == 2);
}

TEST_CASE("output file: a name that somebody has taken is neither followed nor used") {
    const Folder folder;
    put(folder.path / "victim", "untouched");
    const fs::path path = folder.path / "a";
    // The next temporary names of this process, whatever number it has come to.
    for (int n = 0; n < 60; ++n)
        fs::create_symlink("victim", folder.path / concat("a.tmp", ::getpid(), '.', n));
    put(path, "new");
    CHECK(contents(path) == "new");
    CHECK(contents(folder.path / "victim") == "untouched");
    CHECK(folder.entries() == 62);
}

TEST_CASE("output file: a signal removes what is unfinished, and ends the program") {
    const Folder folder;
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) {
        CAPTURE(signal);
        put(folder.path / "a", "old");
        const pid_t child = ::fork();
        REQUIRE(child >= 0);
        if (child == 0) {
            ::signal(signal, SIG_DFL);
            remove_unfinished_files_on_signals();
            OutputFile done(folder.path / "b"), unfinished(folder.path / "a");
            done.commit();
            unfinished.write(std::string(1 << 17, 'x'));
            ::raise(signal);
            ::_exit(0);  // not reached
        }
        int status = 0;
        REQUIRE(::waitpid(child, &status, 0) == child);
        CHECK(WIFSIGNALED(status));
        CHECK(WTERMSIG(status) == signal);
        CHECK(contents(folder.path / "a") == "old");
        CHECK(folder.entries() == 2);
    }
}

TEST_CASE("output file: a signal that is ignored stays ignored") {
    const Folder folder;
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        ::signal(SIGHUP, SIG_IGN);  // as nohup does
        remove_unfinished_files_on_signals();
        OutputFile file(folder.path / "a");
        ::raise(SIGHUP);
        file.write("whole");
        file.commit();
        ::_exit(7);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 7);
    CHECK(contents(folder.path / "a") == "whole");
}

TEST_SUITE_END();
