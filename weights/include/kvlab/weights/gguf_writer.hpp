// gguf_writer.hpp - writes a GGUF file of version 3 that llama.cpp and GgufFile read.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include <kvlab/weights/weight_source.hpp>

namespace kvlab {

class GgufWriter {
public:
    // Produces a tensor's bytes, in order, by calling `put` as often as it likes.
    using Put = std::function<void(std::span<const std::byte>)>;
    using Produce = std::function<void(const Put& put)>;

    // Keys and values in the order in which they are written.
    Metadata& metadata() { return metadata_; }

    // Adds a tensor with a copy of its bytes. Tensors are written in the order they were added.
    // Throws Error for an empty, long (64 bytes and more) or repeated name, a rank other than
    // 1 to 4, an extent of 0, a row that is not a multiple of the block, a wrong byte count.
    void add(const std::string& name,
             TensorType type,
             const Shape& shape,
             std::span<const std::byte> bytes);
    // The same for float32 values.
    void add(const std::string& name, const Shape& shape, std::span<const float> values);
    // The same for a tensor that is made when it is written, so that a model larger than memory
    // can be. Anything that `produce` refers to must live until then.
    void add(const std::string& name, TensorType type, const Shape& shape, Produce produce);

    // Writes the file under a temporary name in the same folder, syncs it, and renames it.
    // Throws Error (unwritable folder, full disk, bad metadata, a produce with the wrong number
    // of bytes); then `path` is what it was before and no other file is left behind.
    void write(const std::filesystem::path& path) const;

    // The same bytes in memory.
    std::vector<std::byte> to_bytes() const;

private:
    struct Pending {
        TensorInfo info;  // bytes unused
        Index size = 0;   // in bytes
        Produce produce;
    };

    void emit(const std::string& target, const Put& put) const;
    std::vector<std::byte> header(const std::string& target, Index alignment) const;

    Metadata metadata_{"gguf writer"};
    std::vector<Pending> tensors_;
};

}  // namespace kvlab
