#include <kvlab/quant/packed_codes.hpp>

namespace kvlab {

namespace {

constexpr Index kNumbers = 16;  // of a chunk, and words side by side

// Where the lowest bit of a packed code lies.
struct Place {
    Index word, bit;
};

// ANCHOR: place_of
// Of code number `flat`, where code 0 lies in word `words_before`.
Place place_of(Index flat, Index bits, Index words_before) {
    // SOLUTION-BEGIN 6.3
    const Index codes = 32 / bits, chunk = flat / kNumbers, lane = flat % kNumbers;
    return {words_before + chunk / codes * kNumbers + lane, chunk % codes * bits};
    // SOLUTION-END 6.3
}

// ANCHOR_END: place_of

// ANCHOR: set_bits
std::uint32_t* words_of(std::byte* codes) {
    return reinterpret_cast<std::uint32_t*>(codes);
}

// The code at a place, as a number.
unsigned bits_at(const std::byte* codes, const Place& place, Index bits) {
    const auto* words = reinterpret_cast<const std::uint32_t*>(codes);
    // SOLUTION-BEGIN 6.3
    return words[place.word] >> place.bit & ((1u << bits) - 1);
    // SOLUTION-END 6.3
}

// Writes the code, whatever was there, and changes no other bit of the word.
void set_bits(std::byte* codes, const Place& place, Index bits, unsigned value) {
    std::uint32_t& word = words_of(codes)[place.word];
    // SOLUTION-BEGIN 6.3
    const std::uint32_t mask = ((1u << bits) - 1) << place.bit;
    word = (word & ~mask) | (value << place.bit & mask);
    // SOLUTION-END 6.3
}

// ANCHOR_END: set_bits

// Three bits: 48 words for each 512 numbers, the lower two bits first.
Place low_place(Index flat) {
    return place_of(flat % 512, 2, flat / 512 * 48);
}

Place high_place(Index flat) {
    return place_of(flat % 512, 1, flat / 512 * 48 + 32);
}

}  // namespace

std::uint8_t packed_code(const std::byte* codes, Index bits, Index flat) {
    if (bits == 8) return std::to_integer<std::uint8_t>(codes[flat]);
    if (bits != 3)
        return static_cast<std::uint8_t>(bits_at(codes, place_of(flat, bits, 0), bits));
    return static_cast<std::uint8_t>(bits_at(codes, low_place(flat), 2) |
                                     bits_at(codes, high_place(flat), 1) << 2);
}

void set_packed_code(std::byte* codes, Index bits, Index flat, std::uint8_t code) {
    if (bits == 8) {
        codes[flat] = static_cast<std::byte>(code);
    } else if (bits != 3) {
        set_bits(codes, place_of(flat, bits, 0), bits, code);
    } else {
        set_bits(codes, low_place(flat), 2, code & 3u);
        set_bits(codes, high_place(flat), 1, code >> 2);
    }
}

}  // namespace kvlab
