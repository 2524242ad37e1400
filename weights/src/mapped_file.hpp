// mapped_file.hpp - a whole file as memory, read by the system when it is touched.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

namespace kvlab {

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

private:
    void* data_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace kvlab
