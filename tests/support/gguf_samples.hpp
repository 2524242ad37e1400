// gguf_samples.hpp - small GGUF files for tests and for the fuzzer's corpus.
#pragma once

#include <cstring>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include <kvlab/weights/gguf_writer.hpp>
#include <kvlab/weights/quantize.hpp>

namespace kvlab::test {

// [rows, columns] values: row r is r, r + 0.25, r + 0.5 ...
inline std::vector<float> sample_values(Index rows = 3, Index columns = 64) {
    std::vector<float> values;
    for (Index row = 0; row < rows; ++row)
        for (Index column = 0; column < columns; ++column)
            values.push_back(static_cast<float>(row) + 0.25f * static_cast<float>(column));
    return values;
}

// A file with every value type and every tensor type: by default the twin of
// tests/data/reference.gguf, which tests/reference/gguf_reference.py made.
inline GgufWriter sample_writer(Index rows = 3, Index columns = 64) {
    GgufWriter writer;
    Metadata& m = writer.metadata();
    m.set("general.architecture", "sample");
    m.set("u8", std::uint8_t{200});
    m.set("i8", std::int8_t{-100});
    m.set("u16", std::uint16_t{60000});
    m.set("i16", std::int16_t{-30000});
    m.set("u32", 4000000000u);
    m.set("i32", -2000000000);
    m.set("f32", 1.5f);
    m.set("bool", true);
    m.set("string", "na\u00efve \u2603 \U0001f600");
    m.set("u64", std::numeric_limits<std::uint64_t>::max());
    m.set("i64", std::numeric_limits<std::int64_t>::min());
    m.set("f64", 0.1);
    m.set("strings", std::vector<std::string>{"a", "", "\u0120the"});
    m.set("i32s", std::vector<std::int32_t>{-1, 0, 7});
    m.set("f32s", std::vector<float>{0.5f, -2.0f});
    m.set("bools", std::vector<bool>{true, false});
    const std::vector<float> values = sample_values(rows, columns);
    for (TensorType type : {TensorType::f32, TensorType::f16, TensorType::bf16,
                            TensorType::q8_0, TensorType::q4_0, TensorType::q4_1}) {
        std::vector<std::byte> bytes(usize(bytes_for(type, rows * columns)));
        quantize(type, values, bytes);
        std::string name = type_name(type);
        for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
        writer.add(name + ".weight", type, {rows, columns}, bytes);
    }
    writer.add("vector", {3}, std::vector<float>{1, 2, 3});
    return writer;
}

// A GGUF file put together field by field, without GgufWriter, so that every field
// can be wrong.
class RawGguf {
public:
    template <class T>
    RawGguf& number(T value) {
        bytes_.resize(bytes_.size() + sizeof value);
        std::memcpy(bytes_.data() + bytes_.size() - sizeof value, &value, sizeof value);
        return *this;
    }

    RawGguf& text(std::string_view raw) {
        for (char c : raw) number(c);
        return *this;
    }

    RawGguf& string(std::string_view raw) {
        return number(static_cast<std::uint64_t>(raw.size())).text(raw);
    }

    RawGguf& header(std::uint64_t tensors, std::uint64_t keys, std::uint32_t version = 3) {
        return text("GGUF").number(version).number(tensors).number(keys);
    }

    RawGguf& key(std::string_view name, std::uint32_t type) {
        return string(name).number(type);
    }

    // `ne` as in the file, innermost first.
    RawGguf& tensor(std::string_view name,
                    std::vector<std::uint64_t> ne,
                    std::uint32_t type,
                    std::uint64_t offset) {
        string(name).number(static_cast<std::uint32_t>(ne.size()));
        for (std::uint64_t extent : ne) number(extent);
        return number(type).number(offset);
    }

    // Zeros up to a multiple of the alignment.
    RawGguf& pad(std::size_t alignment = 32) {
        bytes_.resize((bytes_.size() + alignment - 1) / alignment * alignment);
        return *this;
    }

    // `count` bytes of tensor data, 0x3c each.
    RawGguf& data(std::size_t count) { return text(std::string(count, '\x3c')); }

    const std::vector<std::byte>& bytes() const { return bytes_; }

private:
    std::vector<std::byte> bytes_;
};

}  // namespace kvlab::test
