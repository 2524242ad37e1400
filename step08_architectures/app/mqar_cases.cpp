#include "mqar_cases.hpp"

#include <algorithm>
#include <charconv>
#include <numeric>

#include <kvlab/architectures/splitmix64.hpp>
#include <kvlab/tensor/text.hpp>

namespace kvlab::app {

namespace {

constexpr Index kEach = 96;          // keys, and values
constexpr Token kFirstFiller = 193;  // up to 255
constexpr Token kFirstKey = 1, kFirstValue = 97;
constexpr Index kLongestMqar = 1 << 16;

// The generator splitmix64: its state grows by the same constant at every draw.
class MqarDraws {
public:
    MqarDraws(std::uint64_t seed, const MqarCell& cell, Index number) {
        for (const std::uint64_t x :
             {seed, static_cast<std::uint64_t>(cell.length),
              static_cast<std::uint64_t>(cell.pairs), static_cast<std::uint64_t>(number)})
            state_ = splitmix64(state_ ^ x);
    }

    std::uint64_t below(std::uint64_t n) {
        const std::uint64_t number = splitmix64(state_);
        state_ += 0x9e3779b97f4a7c15;
        return number % n;
    }

    // `count` different ones of the kEach tokens from `first` on, in the order of their draws.
    std::vector<Token> some(Token first, Index count) {
        std::vector<Token> left(kEach);
        std::iota(left.begin(), left.end(), first);
        for (Index i = 0; i < count; ++i)
            std::swap(left[usize(i)],
                      left[usize(i) + below(static_cast<std::uint64_t>(kEach - i))]);
        left.resize(usize(count));
        return left;
    }

private:
    std::uint64_t state_ = 0;
};

// For each pair the place where it is asked, among `count`: a power law, without repetition.
std::vector<Index> mqar_places(MqarDraws& draws, Index pairs, Index count) {
    std::vector<std::uint64_t> weights;
    for (Index g = 0; g < count; ++g)
        weights.push_back((std::uint64_t{1} << 32) / static_cast<std::uint64_t>(g + 1));
    std::uint64_t total = std::accumulate(weights.begin(), weights.end(), std::uint64_t{0});
    std::vector<Index> places;
    for (Index i = 0; i < pairs; ++i) {
        std::uint64_t r = draws.below(total);
        std::size_t g = 0;
        for (; r >= weights[g]; ++g)
            r -= weights[g];  // walks over the weight of a place that is taken: 0
        places.push_back(static_cast<Index>(g));
        total -= weights[g];
        weights[g] = 0;
    }
    return places;
}

}  // namespace

const std::vector<MqarCell>& mqar_cells() {
    static const std::vector<MqarCell> cells = {
        {64, 4, true}, {128, 8, true}, {256, 16, true}, {256, 32, true}, {256, 64, true},
        {512, 16},     {512, 64},      {1024, 16},      {1024, 64},
    };
    return cells;
}

MqarCell read_mqar_cell(const std::string& text) {
    MqarCell cell{0, 0};
    const char* const end = text.data() + text.size();
    const auto length = std::from_chars(text.data(), end, cell.length);
    const bool more = length.ec == std::errc() && length.ptr != end && *length.ptr == '/';
    const auto pairs = std::from_chars(more ? length.ptr + 1 : end, end, cell.pairs);
    check(more && pairs.ec == std::errc() && pairs.ptr == end, quote(text, 40),
          ": expected a length and a number of pairs, as in 256/16");
    check(cell.pairs >= 1 && cell.pairs <= kEach && cell.length <= kLongestMqar &&
              cell.length % 2 == 0 && cell.length >= 4 * cell.pairs,
          quote(text, 40), ": expected 1 to ", kEach,
          " pairs and an even length, from 4 a pair to ", kLongestMqar);
    for (const MqarCell& known : mqar_cells())
        if (known.length == cell.length && known.pairs == cell.pairs) return known;
    return cell;
}

MqarCase make_mqar_case(std::uint64_t seed, const MqarCell& cell, Index number) {
    const auto [L, P, trained] = cell;
    MqarDraws draws(seed, cell, number);
    const std::vector<Token> keys = draws.some(kFirstKey, P);
    const std::vector<Token> values = draws.some(kFirstValue, P);
    MqarCase mqar;
    std::vector<Token>& tokens = mqar.tokens;
    tokens.push_back(0);
    for (Index i = 0; i < P; ++i) {
        tokens.push_back(keys[usize(i)]);
        tokens.push_back(values[usize(i)]);
    }
    // Filler everywhere, also where a pair will stand: so the draws do not depend on places.
    for (Index i = 2 * P; i < L; ++i)
        tokens.push_back(kFirstFiller + static_cast<Token>(draws.below(256 - kFirstFiller)));
    const std::vector<Index> places = mqar_places(draws, P, L / 2 - P);
    for (Index i = 0; i < P; ++i) {
        const Index at = 2 * P + 2 * places[usize(i)];
        tokens[usize(at + 1)] = keys[usize(i)];
        tokens[usize(at + 2)] = values[usize(i)];
        mqar.answers.push_back(at + 1);
    }
    std::ranges::sort(mqar.answers);
    return mqar;
}

void add_mqar_case(Checksum& sum, const MqarCase& mqar) {
    for (const Token token : mqar.tokens) sum.add_bits(static_cast<std::uint32_t>(token));
    for (const Index at : mqar.answers) sum.add_bits(static_cast<std::uint32_t>(at));
}

}  // namespace kvlab::app
