// gguf_file.hpp - reads a GGUF file: one mapping of the whole file, checked from end to end
// before anybody looks at a weight.
//
//   "GGUF" | version u32 | tensor count u64 | key count u64
//   key, type, value                        ... key count times
//   name, n_dims u32, ne u64 * n_dims, type u32, offset u64   ... tensor count times
//   zeros up to a multiple of the alignment
//   tensor data: `offset` counts from here  (every offset a multiple of the alignment)
//
// All numbers are little-endian; a string is its length as u64, then its bytes, UTF-8.
// GGUF writes a shape innermost first ("ne"); it is turned round here and nowhere else.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <kvlab/weights/weight_source.hpp>

namespace kvlab {

class MappedFile;

// Once it is open it is only read: any number of threads may share it.
class GgufFile : public WeightSource {
public:
    // Maps the file read-only. Throws Error, one line that names the file, the field, what was
    // expected and what was found, for anything that is not a valid GGUF file of version 2 or 3
    // with tensor types that kvlab knows. Memory used: the metadata; weights stay in the file.
    // The file is mapped, not read. Cut short meanwhile, it reads as zeros where nothing is
    // left, and release() throws: no wrong number goes unnoticed if each tensor is released
    // when its numbers have been taken over. (A writer that renames does no harm.)
    static GgufFile open(const std::filesystem::path& path);

    // The same from memory that the caller keeps alive; `name` begins every message.
    static GgufFile parse(std::span<const std::byte> bytes, std::string name);

    const std::string& name() const override { return name_; }

    const Metadata& metadata() const override { return metadata_; }

    std::span<const TensorInfo> tensors() const override { return tensors_; }

    const TensorInfo* find(std::string_view tensor_name) const override;

    // Throws Error if the file has been cut short since it was opened.
    void release(const TensorInfo& tensor) const override;

    std::uint32_t version() const { return version_; }

    Index alignment() const { return alignment_; }

    Index file_bytes() const { return file_bytes_; }

private:
    friend class GgufParser;
    GgufFile() = default;

    std::string name_;
    std::shared_ptr<const MappedFile> mapping_;  // the bytes of tensors_; null after parse()
    std::uint32_t version_ = 0;
    Index alignment_ = 0;
    Index file_bytes_ = 0;
    Metadata metadata_;
    // index_ holds exactly the names of tensors_, each with its place.
    std::vector<TensorInfo> tensors_;
    std::map<std::string, std::size_t, std::less<>> index_;
};

}  // namespace kvlab
