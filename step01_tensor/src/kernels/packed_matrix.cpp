#include <kvlab/tensor/packed_matrix.hpp>

#include <algorithm>
#include <cstring>
#include <vector>

namespace kvlab {

namespace {

constexpr Index kBlock = 32, kWord = 8;  // inputs that share a scale, codes per word
constexpr Index kHalf = 2;               // bytes of an f16
constexpr Index kScaleWords = 3;         // Q4_K: words of packed scales

// A block of a 4-bit type: byte j has input j in its low and input j + 16 in its high half. A
// word of the panel has eight inputs that follow one another, the first lowest.
std::uint32_t word_of_codes(const std::byte* codes, Index word) {
    std::uint32_t packed = 0;
    for (Index i = 0; i < kWord; ++i) {
        const Index input = word * kWord + i;
        const auto pair = std::to_integer<std::uint32_t>(codes[input % (kBlock / 2)]);
        packed |= (input < kBlock / 2 ? pair & 15u : pair >> 4) << (4 * i);
    }
    return packed;
}

// The way back, for eight inputs.
void codes_of_word(std::uint32_t packed, Index word, std::byte* codes) {
    for (Index i = 0; i < kWord; ++i) {
        const Index input = word * kWord + i;
        const std::uint32_t code = packed >> (4 * i) & 15u;
        std::byte& pair = codes[input % (kBlock / 2)];
        pair |= static_cast<std::byte>(input < kBlock / 2 ? code : code << 4);
    }
}

Index scales_of(TensorType type) {
    return type == TensorType::q4_1 || type == TensorType::q4_k ? 2 : 1;
}

// Q4_K: byte i of each 32 has input i of one group of 32 in its low half and of the next group
// in its high half. Word `word` of 32 has eight inputs that follow one another.
std::uint32_t word_of_wide_codes(const std::byte* codes, Index word) {
    const Index group = word * kWord / kBlock, first = word * kWord % kBlock;
    const std::byte* from = codes + group / 2 * kBlock + first;
    std::uint32_t packed = 0;
    for (Index i = 0; i < kWord; ++i)
        packed |= (std::to_integer<std::uint32_t>(from[i]) >> (group % 2 * 4) & 15u) << (4 * i);
    return packed;
}

void wide_codes_of_word(std::uint32_t packed, Index word, std::byte* codes) {
    const Index group = word * kWord / kBlock, first = word * kWord % kBlock;
    std::byte* to = codes + group / 2 * kBlock + first;
    for (Index i = 0; i < kWord; ++i)
        to[i] |= static_cast<std::byte>((packed >> (4 * i) & 15u) << (group % 2 * 4));
}

// What follows the scales d (and dmin) of a 4-bit block, as words: first those that are taken
// as they are, then the codes.
struct FourBits {
    explicit FourBits(TensorType type)
        : wide(type == TensorType::q4_k),
          plain_words(wide ? kScaleWords : 0),
          code_words(block_elements(type) / kWord) {}

    bool wide;
    Index plain_words, code_words;
};

void words_to_column(const FourBits& format, const std::byte* block, std::byte* to, Index c) {
    for (Index w = 0; w < format.plain_words; ++w, to += kPanel * 4)
        std::memcpy(to + c * 4, block + w * 4, 4);
    const std::byte* codes = block + format.plain_words * 4;
    for (Index w = 0; w < format.code_words; ++w, to += kPanel * 4) {
        const std::uint32_t packed =
            format.wide ? word_of_wide_codes(codes, w) : word_of_codes(codes, w);
        std::memcpy(to + c * 4, &packed, 4);
    }
}

void column_to_words(const FourBits& format, const std::byte* from, Index c, std::byte* block) {
    for (Index w = 0; w < format.plain_words; ++w, from += kPanel * 4)
        std::memcpy(block + w * 4, from + c * 4, 4);
    std::byte* codes = block + format.plain_words * 4;
    std::fill_n(codes, format.code_words * 4, std::byte{0});
    for (Index w = 0; w < format.code_words; ++w, from += kPanel * 4) {
        std::uint32_t packed = 0;
        std::memcpy(&packed, from + c * 4, 4);
        if (format.wide)
            wide_codes_of_word(packed, w, codes);
        else
            codes_of_word(packed, w, codes);
    }
}

// One block between the file's order (`block`) and the column's place in a group. Scales lie
// 2 bytes apart from column to column, codes 1 byte (Q8_0) or a word of 4.
void block_to_column(TensorType type, const std::byte* block, std::byte* group, Index c) {
    for (Index s = 0; s < scales_of(type); ++s)
        std::memcpy(group + (s * kPanel + c) * kHalf, block + s * kHalf, kHalf);
    const std::byte* codes = block + scales_of(type) * kHalf;
    std::byte* to = group + scales_of(type) * kPanel * kHalf;
    if (type == TensorType::q8_0) {
        for (Index k = 0; k < kBlock; ++k) to[k * kPanel + c] = codes[k];
        return;
    }
    words_to_column(FourBits(type), codes, to, c);
}

void column_to_block(TensorType type, const std::byte* group, Index c, std::byte* block) {
    for (Index s = 0; s < scales_of(type); ++s)
        std::memcpy(block + s * kHalf, group + (s * kPanel + c) * kHalf, kHalf);
    std::byte* codes = block + scales_of(type) * kHalf;
    const std::byte* from = group + scales_of(type) * kPanel * kHalf;
    if (type == TensorType::q8_0) {
        for (Index k = 0; k < kBlock; ++k) codes[k] = from[k * kPanel + c];
        return;
    }
    column_to_words(FourBits(type), from, c, codes);
}

// Rows of plain numbers into columns of a panel, 16 inputs at a time through a small buffer:
// rows that lie a power of two apart would drive each other out of the cache.
template <class Number>
void transpose(const std::byte* rows, Index n, Index depth, std::byte* columns) {
    constexpr Index kInputs = 16, size = sizeof(Number);
    Number buffer[kPanel][kInputs + 1];
    for (Index k = 0; k < depth; k += kInputs) {
        const Index count = std::min(kInputs, depth - k);
        for (Index i = 0; i < n; ++i)
            std::memcpy(buffer[i], rows + (i * depth + k) * size, usize(count * size));
        for (Index j = 0; j < count; ++j)
            for (Index i = 0; i < n; ++i)
                std::memcpy(columns + ((k + j) * kPanel + i) * size, &buffer[i][j], size);
    }
}

}  // namespace

PackedMatrix::PackedMatrix(Index outputs, Index depth, TensorType type, MemoryPool* pool)
    : outputs_(outputs),
      depth_(depth),
      type_(type),
      block_(block_elements(type)),
      group_bytes_(block_bytes(type) * kPanel) {
    check(outputs > 0 && depth > 0,
          "packed matrix: outputs and depth must be positive, found [", outputs, ", ", depth,
          "]");
    check(depth % block_ == 0, "packed matrix: the depth of a matrix in ", type_name(type),
          " must be a multiple of ", block_, ", found ", depth);
    panel_bytes_ = checked_product("packed matrix", {depth / block_, group_bytes_});
    MemoryPool own;
    data_ = (pool != nullptr ? *pool : own)
                .take(checked_product("packed matrix", {panels(), panel_bytes_}));
    // Outputs that are set later need no zeros; columns that never are do.
    if (outputs % kPanel != 0)
        std::fill_n(data_.get() + (panels() - 1) * panel_bytes_, panel_bytes_, std::byte{0});
}

PackedMatrix PackedMatrix::pack(const View<const float>& w) {
    check(w.rank() == 2, "packed matrix: expected a matrix [N, K], found ", w.shape());
    PackedMatrix packed(w.dim(0), w.dim(1));
    std::vector<float> row(usize(w.dim(1)));
    for (Index n = 0; n < w.dim(0); ++n) {
        for (Index k = 0; k < w.dim(1); ++k) at(row, k) = w(n, k);
        packed.set_outputs(n, std::as_bytes(std::span(row)));
    }
    return packed;
}

// ANCHOR: set_outputs
void PackedMatrix::set_outputs(Index first, std::span<const std::byte> rows) {
    const Index row_bytes = bytes_for(type_, depth_), size = block_bytes(type_);
    const Index n = std::ssize(rows) / row_bytes;
    check(std::ssize(rows) == n * row_bytes && first >= 0 && first <= outputs_ - n,
          "packed matrix [", outputs_, ", ", depth_, "]: cannot take ", rows.size(),
          " bytes at output ", first);
    for (Index begin = 0; begin < n;) {
        const Index c = (first + begin) % kPanel, end = std::min(n, begin + kPanel - c);
        std::byte* panel = data_.get() + (first + begin) / kPanel * panel_bytes_;
        const std::byte* from = rows.data() + begin * row_bytes;
        if (block_ == 1 && size == 4)
            transpose<std::uint32_t>(from, end - begin, depth_, panel + c * size);
        else if (block_ == 1)
            transpose<std::uint16_t>(from, end - begin, depth_, panel + c * size);
        else
            for (Index b = 0; b < depth_ / block_; ++b)
                for (Index i = 0; i < end - begin; ++i)
                    block_to_column(type_, from + i * row_bytes + b * size,
                                    panel + b * group_bytes_, c + i);
        begin = end;
    }
}

// ANCHOR_END: set_outputs

void PackedMatrix::read(Index output, std::span<float> out) const {
    check(output >= 0 && output < outputs_ && std::ssize(out) == depth_, "packed matrix [",
          outputs_, ", ", depth_, "]: cannot read output ", output, " into ", out.size(),
          " numbers");
    if (type_ == TensorType::f32) {  // nothing to expand
        const auto* column =
            reinterpret_cast<const float*>(panel(output / kPanel)) + output % kPanel;
        for (Index k = 0; k < depth_; ++k) at(out, k) = column[k * kPanel];
        return;
    }
    constexpr Index kPiece = 256;  // numbers at a time: the largest block, or several
    const Index size = block_bytes(type_), c = output % kPanel;
    alignas(float) std::byte piece[kPiece * sizeof(float)];
    for (Index k = 0; k < depth_; k += kPiece) {
        const Index count = std::min(kPiece, depth_ - k);
        const std::byte* group = panel(output / kPanel, k);
        for (Index b = 0; b < count / block_; ++b, group += group_bytes_) {
            if (block_ > 1)
                column_to_block(type_, group, c, piece + b * size);
            else
                std::memcpy(piece + b * size, group + c * size, usize(size));
        }
        dequantize(type_, {piece, usize(count / block_ * size)},
                   out.subspan(usize(k), usize(count)));
    }
}

}  // namespace kvlab
