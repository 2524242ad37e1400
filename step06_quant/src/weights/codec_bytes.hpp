// codec_bytes.hpp - what the codecs share: numbers to bytes and back, and the checks
// at the door.
#pragma once

#include <cmath>
#include <cstring>
#include <vector>

#include <kvlab/quant/weight_codec.hpp>

namespace kvlab::codec {

template <class T>
T load(const std::byte* from) {
    T value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

class Writer {
public:
    explicit Writer(Index bytes) { bytes_.reserve(usize(bytes)); }

    template <class T>
    void put(T value) {
        const auto* from = reinterpret_cast<const std::byte*>(&value);
        bytes_.insert(bytes_.end(), from, from + sizeof value);
    }

    std::vector<std::byte> take() { return std::move(bytes_); }

private:
    std::vector<std::byte> bytes_;
};

inline void check_matrix(const WeightCodec& codec, const View<const float>& w) {
    check(w.rank() == 2, codec.name(), ": expected a matrix, found ", w.shape());
    check(codec.takes(w.dim(1)), codec.name(), ": rows of ", w.dim(1),
          " numbers are not a whole number of blocks");
    for (const float x : w.flat())
        check(std::isfinite(x), codec.name(), ": found ", x, ", expected finite numbers");
}

inline void check_bytes(const WeightCodec& codec,
                        std::span<const std::byte> bytes,
                        const View<float>& w) {
    check(w.rank() == 2 && codec.takes(w.dim(1)), codec.name(), ": cannot decode into ",
          w.shape());
    const Index expected = codec.bytes(w.dim(0), w.dim(1));
    check(std::ssize(bytes) == expected, codec.name(), ": expected ", expected, " bytes for ",
          w.shape(), ", found ", bytes.size());
}

}  // namespace kvlab::codec
