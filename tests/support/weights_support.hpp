// weights_support.hpp - small helpers of the tests of weights/.
#pragma once

#include <doctest/doctest.h>

#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <vector>

#include <kvlab/weights/metadata.hpp>

namespace kvlab::test {

// The message of the Error that `call` throws; "no error" if it throws none.
template <class Call>
std::string error_of(Call call) {
    try {
        call();
    } catch (const Error& error) {
        return error.what();
    }
    return "no error";
}

// Same keys, same order, same types, same values.
inline bool same_entries(const Metadata& a, const Metadata& b) {
    return std::equal(
        a.entries().begin(), a.entries().end(), b.entries().begin(), b.entries().end(),
        [](const auto& x, const auto& y) { return x.key == y.key && x.value == y.value; });
}

inline std::vector<std::byte> read_file(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    REQUIRE(in.good());
    std::vector<std::byte> bytes;
    for (std::istreambuf_iterator<char> at(in), end; at != end; ++at)
        bytes.push_back(static_cast<std::byte>(*at));
    return bytes;
}

// Bytes as they lie in memory, two digits each.
inline std::string hex(std::span<const std::byte> bytes) {
    std::string text;
    for (std::byte b : bytes)
        for (int shift : {4, 0})
            text += "0123456789abcdef"[(std::to_integer<unsigned>(b) >> shift) & 15];
    return text;
}

inline std::string hex(const std::vector<float>& values) {
    return hex(std::as_bytes(std::span<const float>(values)));
}

// The inverse, for float32.
inline std::vector<float> floats(const std::string& text) {
    std::vector<float> values(text.size() / 8);
    for (std::size_t i = 0; i < values.size(); ++i) {
        const auto bits =
            static_cast<std::uint32_t>(std::stoul(text.substr(8 * i, 8), nullptr, 16));
        values[i] = std::bit_cast<float>(__builtin_bswap32(bits));
    }
    return values;
}

// A folder of its own for one test, removed at the end.
class Folder {
public:
    Folder() {
        std::string name = (std::filesystem::temp_directory_path() / "kvlab-XXXXXX").string();
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        path_ = name;
    }

    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;

    ~Folder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }

    std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

    void write(const std::string& name, std::span<const std::byte> bytes) const {
        std::ofstream out(path_ / name, std::ios::binary);
        out.write(reinterpret_cast<const char*>(bytes.data()),
                  static_cast<std::streamsize>(bytes.size()));
    }

    // How many files it holds.
    std::size_t files() const {
        return usize(std::distance(std::filesystem::directory_iterator(path_),
                                   std::filesystem::directory_iterator()));
    }

private:
    std::filesystem::path path_;
};

}  // namespace kvlab::test
