// byte_sum.hpp - chapter 7: the checksum of bytes that come in pieces of any length.
#pragma once

#include <algorithm>
#include <cstring>
#include <span>

#include <kvlab/tensor/checksum.hpp>

namespace kvlab {

// Words of four bytes, of which the last one is filled up with zeros, and then their number: so
// it does not matter where the pieces begin, and a zero more at the end is seen.
class ByteSum {
public:
    void add(std::span<const std::byte> bytes) {
        count_ += bytes.size();
        while (begun_ > 0 && !bytes.empty()) {
            add_byte(bytes.front());
            bytes = bytes.subspan(1);
        }
        for (; bytes.size() >= sizeof word_; bytes = bytes.subspan(sizeof word_)) {
            std::uint32_t word = 0;
            std::memcpy(&word, bytes.data(), sizeof word);
            sum_.add_bits(word);
        }
        for (const std::byte byte : bytes) add_byte(byte);
    }

    std::uint64_t value() const {
        ByteSum padded = *this;
        while (padded.begun_ > 0) padded.add_byte(std::byte{0});
        padded.sum_.add_bits(static_cast<std::uint32_t>(count_));
        padded.sum_.add_bits(static_cast<std::uint32_t>(count_ >> 32));
        return padded.sum_.value();
    }

private:
    void add_byte(std::byte byte) {
        word_ |= std::to_integer<std::uint32_t>(byte) << (8 * begun_);
        if (++begun_ < sizeof word_) return;
        sum_.add_bits(word_);
        word_ = begun_ = 0;
    }

    Checksum sum_;
    std::uint64_t count_ = 0;
    std::uint32_t word_ = 0, begun_ = 0;  // bytes of a word that is not complete
};

}  // namespace kvlab
