#include <kvlab/weights/bpe_tokenizer.hpp>

#include <algorithm>
#include <limits>
#include <string_view>

#include <kvlab/tensor/text.hpp>

namespace kvlab {

namespace {

// A vocabulary spells bytes in 256 printable characters: those bytes that are printable in
// Latin-1 stand for themselves, the 68 others for U+0100 ... U+0143 in order (the space, byte
// 32, is U+0120). Indexed by character; -1: no byte.
std::array<int, 0x144> byte_alphabet() {
    std::array<int, 0x144> byte_of;
    byte_of.fill(-1);
    std::size_t next = 0x100;
    for (int b = 0; b < 256; ++b) {
        const bool printable =
            (0x21 <= b && b <= 0x7e) || (0xa1 <= b && b <= 0xac) || b >= 0xae;
        byte_of[printable ? usize(b) : next++] = b;
    }
    return byte_of;
}

std::uint64_t pair_key(Token left, Token right) {
    return std::uint64_t{static_cast<std::uint32_t>(left)} << 32 |
           static_cast<std::uint32_t>(right);
}

}  // namespace

// The symbols of a word are a list: each knows its neighbours, a merged one leaves the list.
// The queue holds every pair that can merge, and some that no longer can: they are recognised,
// when they come up, by symbols that have changed since.
struct BpeTokenizer::Workspace {
    static constexpr Token kGone = -2;
    static constexpr Index kNone = -1;

    struct Symbol {
        Token token;
        Index previous, next;
    };

    struct Candidate {
        Merge merge;
        Index at;  // the left symbol
        Token left, right;

        // Heap order: the lowest rank on top, of equals the leftmost.
        bool operator<(const Candidate& other) const {
            if (merge.rank != other.merge.rank) return merge.rank > other.merge.rank;
            return at > other.at;
        }
    };

    Symbol& symbol(Index i) { return at(symbols, i); }

    std::vector<Symbol> symbols;
    std::vector<Candidate> queue;
};

BpeTokenizer::BpeTokenizer(const TokenizerData& data)
    : Tokenizer(data), pre_(pre_tokenizer_by_name(data.pre, data.source)) {
    load_pieces(data.tokens);
    load_merges(data.tokens, data.merges);
}

void BpeTokenizer::load_pieces(const std::vector<std::string>& tokens) {
    const auto byte_of = byte_alphabet();
    byte_tokens_.fill(kNoToken);
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        const auto token = static_cast<Token>(i);
        const auto fail = [&](const char* what) {
            throw Error(concat(source(), ": token ", i, ", ", quote(tokens[i]), ", ", what));
        };
        std::string& piece = pieces_[i];
        if (type(token) == TokenType::byte) fail("has type 6 (byte): expected in 'llama' only");
        if (type(token) != TokenType::normal && type(token) != TokenType::unused) {
            piece = tokens[i];  // its name is written out as it is
            continue;
        }
        const CodePoints text = read_code_points(tokens[i]);
        if (text.invalid_bytes > 0) fail("is not UTF-8");
        for (const char32_t code : text.codes) {
            if (code >= byte_of.size() || byte_of[code] < 0) fail("has a letter for no byte");
            piece.push_back(static_cast<char>(byte_of[code]));
        }
        if (piece.size() == 1 && type(token) == TokenType::normal)
            byte_tokens_[static_cast<unsigned char>(piece[0])] = token;
    }
    unwritable_bytes_ = std::ranges::count(byte_tokens_, kNoToken);
}

void BpeTokenizer::load_merges(const std::vector<std::string>& tokens,
                               const std::vector<std::string>& merges) {
    check(merges.size() <= std::numeric_limits<std::int32_t>::max(), source(),
          ": too many merges");
    std::unordered_map<std::string_view, Token> token_of;
    token_of.reserve(tokens.size());
    for (std::size_t i = 0; i < tokens.size(); ++i) token_of[tokens[i]] = static_cast<Token>(i);

    merges_.reserve(merges.size());
    for (std::size_t rank = 0; rank < merges.size(); ++rank) {
        const std::string& line = merges[rank];
        const auto fail = [&](const std::string& what) {
            throw Error(concat(source(), ": merge ", rank, ", ", quote(line), ": ", what));
        };
        const auto space = line.find(' ');
        if (space == line.npos || space == 0 || space + 1 == line.size())
            fail("expected two parts with a space between");
        const auto token = [&](std::string_view text) {
            const auto found = token_of.find(text);
            if (found == token_of.end()) fail(quote(text) + " is not in the vocabulary");
            // Otherwise a user could spell out a control token.
            if (type(found->second) != TokenType::normal)
                fail(quote(text) + " is not a normal token");
            return found->second;
        };
        const std::string left = line.substr(0, space), right = line.substr(space + 1);
        const Merge merge{static_cast<std::int32_t>(rank), token(left + right)};
        if (!merges_.emplace(pair_key(token(left), token(right)), merge).second)
            fail("stands there twice");
    }
}

const BpeTokenizer::Merge* BpeTokenizer::find_merge(Token left, Token right) const {
    const auto found = merges_.find(pair_key(left, right));
    return found == merges_.end() ? nullptr : &found->second;
}

// ANCHOR: merge_steps
std::vector<std::vector<Token>> BpeTokenizer::merge_steps(std::string_view word) const {
    std::vector<Token> symbols;
    for (const char byte : word)
        symbols.push_back(byte_tokens_[static_cast<unsigned char>(byte)]);
    std::vector<std::vector<Token>> steps{symbols};
    while (true) {
        const Merge* best = nullptr;
        std::size_t at = 0;
        for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
            const Merge* merge = find_merge(symbols[i], symbols[i + 1]);
            if (merge != nullptr && (best == nullptr || merge->rank < best->rank)) {
                best = merge;
                at = i;
            }
        }
        if (best == nullptr) return steps;
        symbols[at] = best->joined;
        symbols.erase(symbols.begin() + static_cast<Index>(at) + 1);
        steps.push_back(symbols);
    }
}

// ANCHOR_END: merge_steps

void BpeTokenizer::merge_word(std::string_view word, Workspace& work) const {
    const auto size = std::ssize(word);
    work.symbols.clear();
    work.queue.clear();
    for (Index i = 0; i < size; ++i) {
        const auto byte = static_cast<unsigned char>(at(word, i));
        work.symbols.push_back(
            {byte_tokens_[byte], i - 1, i + 1 < size ? i + 1 : Workspace::kNone});
    }
    const auto consider = [&](Index at) {
        if (at == Workspace::kNone || work.symbol(at).next == Workspace::kNone) return;
        const Token left = work.symbol(at).token;
        const Token right = work.symbol(work.symbol(at).next).token;
        if (const Merge* merge = find_merge(left, right))
            work.queue.push_back({*merge, at, left, right});
    };
    const auto consider_and_sort = [&](Index at) {
        const std::size_t before = work.queue.size();
        consider(at);
        if (work.queue.size() > before) std::push_heap(work.queue.begin(), work.queue.end());
    };
    for (Index i = 0; i + 1 < size; ++i) consider(i);
    std::make_heap(work.queue.begin(), work.queue.end());

    while (!work.queue.empty()) {
        std::pop_heap(work.queue.begin(), work.queue.end());
        const Workspace::Candidate top = work.queue.back();
        work.queue.pop_back();
        auto& left = work.symbol(top.at);
        if (left.token != top.left || left.next == Workspace::kNone) continue;
        auto& right = work.symbol(left.next);
        if (right.token != top.right) continue;
        left.token = top.merge.joined;
        right.token = Workspace::kGone;
        left.next = right.next;
        if (left.next != Workspace::kNone) work.symbol(left.next).previous = top.at;
        consider_and_sort(left.previous);
        consider_and_sort(top.at);
    }
}

void BpeTokenizer::encode_text(std::string_view text,
                               std::vector<Token>& tokens,
                               EncodeReport& report) const {
    const CodePoints points = read_code_points(text);
    report.invalid_bytes += points.invalid_bytes;
    const std::string_view bytes = points.bytes;
    Workspace work;
    Index begin = 0;
    for (const Index word_end : split_words(points.codes, pre_)) {
        const Index end = at(points.starts, word_end);
        merge_word(bytes.substr(usize(begin), usize(end - begin)), work);
        begin = end;
        for (const auto& symbol : work.symbols) {
            if (symbol.token >= 0) tokens.push_back(symbol.token);
            if (symbol.token == kNoToken) ++report.dropped_bytes;
        }
    }
}

}  // namespace kvlab
