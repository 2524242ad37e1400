// output_file.hpp - chapter 1: a file that a program writes appears whole, or not at all.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include <kvlab/tensor/error.hpp>
#include <kvlab/tensor/memory.hpp>

struct stat;

namespace kvlab {

// Opened before the long run, so that a path that cannot be written fails at once; written as
// the run goes on; and there under its name after commit():
//
//   report.json                    what was there before, if anything, until commit()
//   report.json.tmp<process>.<n>   what has been written so far, in the same folder
//
// An object that is destroyed before commit() removes what it wrote and leaves the older file
// alone; so does a program that is interrupted (remove_unfinished_files_on_signals()).
//
// A symbolic link is followed: the file that it points to is replaced, in that file's folder.
// The new file has the permissions of the one that it replaces. What is no plain file (a
// device, a pipe, or one of the process's own streams, such as /dev/stdout) is never replaced:
// there the bytes go straight in.
class OutputFile {
public:
    // Throws Error, naming the path and the reason, unless it can be written: for a folder, for
    // a plain file that this user may not write, and where the folder takes no new file.
    explicit OutputFile(const std::filesystem::path& path);
    OutputFile(const OutputFile&) = delete;
    OutputFile& operator=(const OutputFile&) = delete;
    ~OutputFile();

    // Throws Error when that fails (a full disk, say), naming the bytes written before.
    void write(std::string_view text);
    void write(std::span<const std::byte> bytes);

    // The file is complete: it is made durable and gets its name. Throws Error when that fails;
    // the older file is then as it was. Nothing may be written afterwards.
    void commit();

private:
    [[noreturn]] void fail(const char* what) const;  // the reason is in errno
    void open_temporary(const struct stat* old);     // the file to be replaced, or null
    void flush();

    std::filesystem::path path_;       // links followed
    std::filesystem::path temporary_;  // empty: the bytes go straight into `path_`
    int descriptor_ = -1;
    int watched_ = -1;    // its place in the list of files to remove on a signal
    std::string buffer_;  // what write() has not yet handed over
    Index written_ = 0;   // bytes handed over
};

// From now on SIGINT, SIGTERM and the like remove every unfinished file before they end the
// program. Signals that are ignored, or have a handler, are left as they are.
void remove_unfinished_files_on_signals();

}  // namespace kvlab
