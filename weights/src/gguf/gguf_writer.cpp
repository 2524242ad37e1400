#include <kvlab/weights/gguf_writer.hpp>

#include <algorithm>
#include <cstring>
#include <type_traits>
#include <utility>

#include <kvlab/tensor/output_file.hpp>

#include "gguf_format.hpp"

namespace kvlab {

namespace {

// Appends little-endian values to a vector of bytes.
class Bytes {
public:
    template <class T>
    void number(T value) {
        out.resize(out.size() + sizeof value);
        std::memcpy(out.data() + out.size() - sizeof value, &value, sizeof value);
    }

    void string(std::string_view text) {
        number(static_cast<std::uint64_t>(text.size()));
        const auto* raw = reinterpret_cast<const std::byte*>(text.data());
        out.insert(out.end(), raw, raw + text.size());
    }

    template <class T>
    void scalar(const T& value, const std::string& where) {
        if constexpr (std::is_same_v<T, std::string>) {
            gguf::check_utf8(value, where);
            string(value);
        } else if constexpr (std::is_same_v<T, bool>) {
            number(static_cast<std::uint8_t>(value));
        } else {
            number(value);
        }
    }

    void array(const MetaArray& array, const std::string& where) {
        number(static_cast<std::uint32_t>(array.index()));
        number(static_cast<std::uint64_t>(array_size(array)));
        std::visit(
            [&](const auto& elements) {
                using Array = std::decay_t<decltype(elements)>;
                if constexpr (std::is_same_v<Array, std::monostate>)
                    throw Error(where + ": expected an array with a type, found none");
                else
                    for (const auto& element : elements)
                        scalar<typename Array::value_type>(element, where);
            },
            array);
    }

    void value(const MetaValue& value, const std::string& where) {
        number(static_cast<std::uint32_t>(value.index()));
        std::visit(
            [&](const auto& found) {
                if constexpr (std::is_same_v<std::decay_t<decltype(found)>, MetaArray>)
                    array(found, where);
                else
                    scalar(found, where);
            },
            value);
    }

    std::vector<std::byte> out;
};

}  // namespace

void GgufWriter::add(const std::string& name,
                     TensorType type,
                     const Shape& shape,
                     Produce produce) {
    const std::string where = "gguf writer: tensor " + quote(name);
    gguf::check_name(name, gguf::kLongestTensorName, where + " name");
    for (const Pending& other : tensors_)
        check(other.info.name != name, where, ": expected once, found again");
    check(shape.rank() >= 1 && shape.size() >= 1, where,
          ": expected a rank of 1 to 4 and no extent of 0, found ", shape);
    gguf::check_row(type, shape[shape.rank() - 1], where);
    Pending& added = tensors_.emplace_back();
    added.info.name = name;
    added.info.type = type;
    added.info.shape = shape;
    added.size = bytes_for(type, shape.size());
    added.produce = std::move(produce);
}

void GgufWriter::add(const std::string& name,
                     TensorType type,
                     const Shape& shape,
                     std::span<const std::byte> bytes) {
    add(name, type, shape,
        [copy = std::vector<std::byte>(bytes.begin(), bytes.end())](const Put& put) {
            put(copy);
        });
    const auto expected = usize(tensors_.back().size);
    if (bytes.size() == expected) return;
    tensors_.pop_back();
    throw Error(concat("gguf writer: tensor ", quote(name), ": expected ", expected,
                       " bytes, found ", bytes.size()));
}

void GgufWriter::add(const std::string& name,
                     const Shape& shape,
                     std::span<const float> values) {
    add(name, TensorType::f32, shape, std::as_bytes(values));
}

// Everything up to the padding before the tensor data.
std::vector<std::byte> GgufWriter::header(const std::string& target, Index alignment) const {
    Bytes bytes;
    for (char c : gguf::kMagic) bytes.number(c);
    bytes.number(gguf::kVersion);
    bytes.number(static_cast<std::uint64_t>(tensors_.size()));
    bytes.number(static_cast<std::uint64_t>(metadata_.entries().size()));
    for (const Metadata::Entry& entry : metadata_.entries()) {
        const std::string where = target + ": key " + quote(entry.key);
        gguf::check_name(entry.key, gguf::kLongestKey, where + " name");
        bytes.string(entry.key);
        bytes.value(entry.value, where);
    }
    Index offset = 0;
    for (const Pending& tensor : tensors_) {
        const Shape& shape = tensor.info.shape;
        bytes.string(tensor.info.name);
        bytes.number(static_cast<std::uint32_t>(shape.rank()));
        for (Index axis = shape.rank(); axis-- > 0;)  // innermost first
            bytes.number(static_cast<std::uint64_t>(shape[axis]));
        bytes.number(static_cast<std::uint32_t>(tensor.info.type));
        bytes.number(static_cast<std::uint64_t>(offset));
        offset = gguf::align_up(offset + tensor.size, alignment);
    }
    return std::move(bytes.out);
}

void GgufWriter::emit(const std::string& target, const Put& put) const {
    const Index alignment = gguf::alignment_of(metadata_, target);
    std::vector<std::byte> head = header(target, alignment);
    head.resize(usize(gguf::align_up(std::ssize(head), alignment)));
    put(head);
    for (const Pending& tensor : tensors_) {
        const std::string where = target + ": tensor " + quote(tensor.info.name);
        Index done = 0;
        tensor.produce([&](std::span<const std::byte> piece) {
            done += std::ssize(piece);
            check(done <= tensor.size, where, ": expected ", tensor.size, " bytes, found more");
            put(piece);
        });
        check(done == tensor.size, where, ": expected ", tensor.size, " bytes, found ", done);
        // The last tensor is padded as well: llama.cpp reads the data in whole alignments.
        const Index padding = gguf::align_up(done, alignment) - done;
        put(std::vector<std::byte>(usize(padding)));  // zeros
    }
}

void GgufWriter::write(const std::filesystem::path& path) const {
    OutputFile file(path);
    emit(path.string(), [&](std::span<const std::byte> piece) { file.write(piece); });
    file.commit();
}

std::vector<std::byte> GgufWriter::to_bytes() const {
    std::vector<std::byte> bytes;
    emit("gguf writer", [&](std::span<const std::byte> piece) {
        bytes.insert(bytes.end(), piece.begin(), piece.end());
    });
    return bytes;
}

}  // namespace kvlab
