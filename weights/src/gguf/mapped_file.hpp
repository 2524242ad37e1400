// mapped_file.hpp - a whole file as memory, read by the system when it is touched.
//
// Mapped and not read, so that a model needs no second copy of itself and one that is larger
// than memory can be converted. The price: somebody may cut the file short meanwhile, and what
// touches a page that is gone gets SIGBUS. Such pages become zeros here, and whoever takes
// numbers over asks check_whole() afterwards. (A signal handler for SIGBUS is set up by the
// first file; faults elsewhere go to the handler that was there before.)
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

namespace kvlab {

struct MappedRange;

class MappedFile {
public:
    // Throws Error if the file cannot be opened, is not a plain file, or is empty.
    explicit MappedFile(const std::filesystem::path& path);
    MappedFile(const MappedFile&) = delete;
    MappedFile& operator=(const MappedFile&) = delete;
    ~MappedFile();

    std::span<const std::byte> bytes() const {
        return {static_cast<const std::byte*>(data_), size_};
    }

    // Gives back the memory of the whole pages inside this part of bytes(); the system reads
    // them again if they are touched.
    void release(std::span<const std::byte> part) const;

    // Throws Error, naming the file and its sizes, if it is shorter now than when it was opened
    // or was so when a page of it was touched: then what was read need not be the file's.
    void check_whole() const;

private:
    std::filesystem::path path_;
    int descriptor_ = -1;
    void* data_ = nullptr;
    std::size_t size_ = 0;
    MappedRange* range_ = nullptr;
};

}  // namespace kvlab
