// atomic_file.hpp - a file appears whole or not at all.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>

#include <kvlab/tensor/tensor.hpp>

namespace kvlab {

// Writes to "<path>.tmp<process>.<n>" in the same folder; commit() syncs and renames it to
// `path`. An object destroyed before commit() removes what it wrote and leaves `path` alone.
// A symbolic link is followed: what it points to is replaced.
class AtomicFile {
public:
    // Throws Error if the folder cannot be written to, or if `path` exists and is not a plain
    // file (nobody wants /dev/null renamed away).
    explicit AtomicFile(const std::filesystem::path& path);
    AtomicFile(const AtomicFile&) = delete;
    AtomicFile& operator=(const AtomicFile&) = delete;
    ~AtomicFile();

    // Throws Error when the disk is full, naming the file and the bytes written so far.
    void write(std::span<const std::byte> bytes);
    // Throws Error when the bytes cannot be made durable or the file cannot be renamed.
    void commit();

private:
    [[noreturn]] void fail(const char* what) const;

    std::filesystem::path path_, temporary_;
    int descriptor_ = -1;
    Index written_ = 0;
};

}  // namespace kvlab
