// by_hand.cpp - chapter 6: the examples about a cache that the chapter works out on paper, by
// the code that it teaches. A group has 32 numbers, so fewer of them stand in it several times.
#include "by_hand.hpp"

#include <array>
#include <vector>

#include <kvlab/quant/coded_side.hpp>
#include <kvlab/quant/hadamard.hpp>
#include <kvlab/quant/packed_codes.hpp>
#include <kvlab/tensor/numerics.hpp>
#include <kvlab/tensor/worked_examples.hpp>

namespace kvlab::app {

namespace {

// Some numbers as one group of KIVI, each of them repeated until it is full.
struct Group {
    Group(Index bits, const std::vector<float>& numbers) : format(&formats::kivi4) {
        if (bits == 2) format = &formats::kivi2;
        std::vector<float> all;
        while (std::ssize(all) < kScaleBlock)
            all.insert(all.end(), numbers.begin(), numbers.end());
        encode_group(bits, all.data(), 1, codes.data(), d, m);
    }

    int code(std::size_t i) const { return codes[i]; }

    float read(std::size_t i) const { return decode_number(format, codes[i], d, m); }

    Format format;
    std::array<std::uint8_t, kScaleBlock> codes{};
    float d = 0, m = 0;
};

// The rows of a table from which groups are made.
constexpr std::size_t kTokens = 4, kChannels = 4;
const float kKeys[kTokens][kChannels] = {
    {2, -1, 20, 0}, {0, 1, 23, 2}, {-1, 0, 21, 1}, {1, 2, 22, -1}};

float squared_distance(std::span<const float> a, std::span<const float> b) {
    float sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
    return sum;
}

}  // namespace

void by_hand_group() {
    const std::vector<float> x = {-1.25f, -0.8f, -0.1f, 0, 0.3f, 0.6f, 1.1f, 2.5f};
    std::vector<float> large = x;
    large.back() = 40;
    const Group four(4, x), two(2, x), spoiled(4, large);
    std::printf("            4 bits, d = %-6g   2 bits, d = %-6g   4 bits beside 40, d = %g\n",
                wide(four.d), wide(two.d), wide(spoiled.d));
    std::printf("  number    code    read as   code    read as   code    read as\n");
    for (std::size_t i = 0; i < x.size(); ++i) {
        std::printf("  %6g ", wide(x[i]));
        for (const Group* group : {&four, &two, &spoiled})
            std::printf("   %4d %10g", group->code(i), wide(group->read(i)));
        std::printf("%s\n", i + 1 == x.size() ? "   (40 in the last)" : "");
    }
}

void by_hand_kept() {
    const std::vector<float> x = {100.02f, 100.04f, 100.5f, 100.92f};
    const Group group(4, x);
    std::printf("  measured: m = 100.02, d = 0.9 / 15 = 0.06;  kept: m = %g, d = %.5f\n",
                wide(group.m), wide(group.d));
    std::printf("  number    (x - m) / d of what is kept   code    read as\n");
    for (std::size_t i = 0; i < x.size(); ++i)
        std::printf("  %6.2f    %27.2f   %4d   %8.3f\n", wide(x[i]),
                    wide((x[i] - group.m) / group.d), group.code(i), wide(group.read(i)));
}

void by_hand_sharing() {
    std::printf("            the keys             a scale per token    a scale per channel\n");
    std::vector<Group> tokens, channels;
    for (const auto& row : kKeys) tokens.emplace_back(2, std::vector(row, row + kChannels));
    for (std::size_t c = 0; c < kChannels; ++c)
        channels.emplace_back(2,
                              std::vector{kKeys[0][c], kKeys[1][c], kKeys[2][c], kKeys[3][c]});
    for (std::size_t t = 0; t < kTokens; ++t) {
        std::printf("  token %zu ", t);
        for (std::size_t c = 0; c < kChannels; ++c) std::printf("%5g", wide(kKeys[t][c]));
        std::printf(" ");
        for (std::size_t c = 0; c < kChannels; ++c)
            std::printf("%5.3g", wide(tokens[t].read(c)));
        std::printf("  ");
        for (std::size_t c = 0; c < kChannels; ++c)
            std::printf("%5g", wide(channels[c].read(t)));
        std::printf("\n");
    }
    std::printf("  d of each token:  ");
    for (const Group& group : tokens) std::printf("%8.4g", wide(group.d));
    std::printf("\n  d of each channel:");
    for (const Group& group : channels) std::printf("%8.4g", wide(group.d));
    std::printf("\n");
}

void by_hand_rotation() {
    const std::array<float, 4> x = {8, 1, -1, 0}, q = {1, 2, 0, 1}, two = {8, 4, 0, 0};
    std::array<float, 4> turned = x, turned_q = q, back{}, turned_two = two;
    for (std::span<float> row :
         {std::span<float>(turned), std::span<float>(turned_q), std::span<float>(turned_two)})
        hadamard(row);
    back = turned;
    hadamard(back);
    print_row("x", x);
    print_row("H x", turned);
    print_row("H H x", back);
    print_row("q", q);
    print_row("H q", turned_q);
    std::printf("  q . x = %g, (H q) . (H x) = %g\n", wide(dot(q.data(), x.data(), 4)),
                wide(dot(turned_q.data(), turned.data(), 4)));
    std::array<float, 4> as_is{}, by_turn{};
    const Group plain(2, {x.begin(), x.end()}), spread(2, {turned.begin(), turned.end()});
    for (std::size_t i = 0; i < 4; ++i) as_is[i] = plain.read(i), by_turn[i] = spread.read(i);
    hadamard(by_turn);
    std::printf("in 2 bits\n");
    print_row("as it is", as_is);
    print_row("by turn", by_turn);
    std::printf("  squared error %g as it is, %.2f by turn\n", wide(squared_distance(x, as_is)),
                wide(squared_distance(x, by_turn)));
    std::printf("two large channels\n");
    print_row("x", two);
    print_row("H x", turned_two);
}

void by_hand_residual() {
    constexpr Index R = 32, D = 32;
    const CodedSide::Options options{.format = &formats::kivi2, .residual = R};
    const CodedSide keys(options, CodedTiles::Side::keys, 512, 1, D, SimdLevel::portable),
        values(options, CodedTiles::Side::values, 512, 1, D, SimdLevel::portable);
    std::printf("  KIVI-2, a residual of 32: what a token sees, itself included\n");
    std::printf("            keys             values           bits of\n");
    std::printf("  position  codes      f16   codes      f16   a number\n");
    for (const Index position : {0, 31, 32, 40, 63, 64, 70, 511}) {
        const Index all = position + 1, k = keys.coded_until(position),
                    v = values.coded_until(position);
        const Index bytes = keys.seen_bytes(position) + values.seen_bytes(position);
        std::printf("  %8td  %5td   %6td   %5td   %6td   %8.2f\n", position, k, all - k, v,
                    all - v,
                    8.0 * static_cast<double>(bytes) / static_cast<double>(2 * all * D));
    }
}

void by_hand_words() {
    constexpr std::size_t kWords = 64;
    std::printf("  code   bits   word   its bits there\n");
    for (const auto& [flat, bits] : {std::pair<Index, Index>(5, 4),
                                     {37, 4},
                                     {127, 4},
                                     {128, 4},
                                     {300, 4},
                                     {37, 2},
                                     {300, 2}}) {
        std::array<std::uint32_t, kWords> words{};
        // All ones, so that what is set says where the code lies.
        set_packed_code(reinterpret_cast<std::byte*>(words.data()), bits, flat,
                        static_cast<std::uint8_t>((1 << bits) - 1));
        for (std::size_t w = 0; w < kWords; ++w)
            for (Index bit = 0; bit < 32; bit += bits)
                if ((words[w] >> bit & 1u) != 0)
                    std::printf("  %4td   %4td   %4zu   %td to %td\n", flat, bits, w, bit,
                                bit + bits - 1);
    }
}

// A key and a query that is the key itself, so that the product is its squared length.
void by_hand_sketch() {
    const std::array<float, 8> x = {3, 1, -1, -3, 2, 2, -2, -2};
    CodedRow coded;
    encode_row(&formats::turbo2, x, coded);
    std::array<float, 8> levels{};
    for (std::size_t i = 0; i < x.size(); ++i)
        levels[i] = coded.d[0] * formats::turbo2.levels[coded.codes[i] & 1];
    print_row("x", x);
    print_row("levels", levels);
    std::printf("  x . x = %g, by the levels alone %.2f\n", wide(dot(x.data(), x.data(), 8)),
                wide(dot(x.data(), levels.data(), 8)));
    std::printf("  length of what they leave: %.4f\n", wide(coded.m[0]));
    double sum = 0;
    for (std::uint64_t seed = 1; seed <= 10000; ++seed) {
        const SignSketch sketch(8, seed);
        std::array<float, 8> read = x;
        round_trip(&formats::turbo2, read, &sketch);
        const double product = wide(dot(x.data(), read.data(), 8));
        sum += product;
        if (seed <= 3)
            std::printf("  with the signs of seed %zu: %.2f\n", static_cast<std::size_t>(seed),
                        product);
    }
    std::printf("  mean over 10000 seeds: %.2f\n", sum / 10000);
}

namespace {

const cli::Subcommand kByHand = cli::worked_examples(25,
                                                     {{"group", by_hand_group},
                                                      {"kept", by_hand_kept},
                                                      {"sharing", by_hand_sharing},
                                                      {"residual", by_hand_residual},
                                                      {"rotation", by_hand_rotation},
                                                      {"sketch", by_hand_sketch},
                                                      {"words", by_hand_words},
                                                      {"nf4", by_hand_nf4},
                                                      {"gptq", by_hand_gptq},
                                                      {"awq", by_hand_awq},
                                                      {"int8", by_hand_int8},
                                                      {"smooth", by_hand_smooth},
                                                      {"directions", by_hand_directions}});

}  // namespace

}  // namespace kvlab::app
