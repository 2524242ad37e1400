#include <kvlab/weights/pretokenize.hpp>

#include <kvlab/tensor/text.hpp>

namespace kvlab {

namespace {

// One part of a text. Looking past its end finds nothing, not the text that follows: so the
// runs of spaces before a digit stay whole under smollm.
class Part {
public:
    Part(const std::vector<char32_t>& codes, Index begin, Index end)
        : codes_(codes), at_(begin), end_(end) {}

    bool done() const { return at_ == end_; }

    // Steps over the next word and returns the index behind it.
    Index next() {
        at_ += word_length();
        return at_;
    }

private:
    char32_t code(Index ahead) const {
        const Index i = at_ + ahead;
        return i < end_ ? at(codes_, i) : kNothing;
    }

    bool is(Index ahead, CharClass kind) const {
        return at_ + ahead < end_ && char_class(code(ahead)) == kind;
    }

    Index run(Index from, CharClass kind) const {
        Index n = from;
        while (is(n, kind)) ++n;
        return n - from;
    }

    // 's|'t|'re|'ve|'m|'ll|'d
    Index contraction_length() const {
        if (code(0) != U'\'') return 0;
        const char32_t a = code(1), b = code(2);
        if (a == U's' || a == U't' || a == U'm' || a == U'd') return 2;
        const bool pair =
            (a == U'r' && b == U'e') || (a == U'v' && b == U'e') || (a == U'l' && b == U'l');
        return pair ? 3 : 0;
    }

    // The alternatives of the expression, in its order; done() is false.
    Index word_length() const {
        if (const Index n = contraction_length(); n > 0) return n;
        const Index space = code(0) == U' ' ? 1 : 0;
        for (const CharClass kind : {CharClass::letter, CharClass::number, CharClass::other})
            if (const Index n = run(space, kind); n > 0) return space + n;
        const Index spaces = run(0, CharClass::space);
        // \s+(?!\S): the last of several spaces is left to the word behind it.
        const bool word_follows = at_ + spaces < end_;
        return spaces > 1 && word_follows ? spaces - 1 : spaces;
    }

    static constexpr char32_t kNothing = 0xffffffff;

    const std::vector<char32_t>& codes_;
    Index at_, end_;
};

}  // namespace

PreTokenizer pre_tokenizer_by_name(const std::string& name, const std::string& source) {
    if (name == "smollm") return PreTokenizer::smollm;
    if (name == "gpt-2" || name == "gpt2" || name.empty()) return PreTokenizer::gpt2;
    throw Error(concat(source, ": tokenizer.ggml.pre: expected 'smollm' or 'gpt-2', got ",
                       quote(name)));
}

std::vector<Index> split_words(const std::vector<char32_t>& codes, PreTokenizer kind) {
    std::vector<Index> ends;
    const auto size = std::ssize(codes);
    const auto split_part = [&](Index begin, Index end) {
        for (Part part(codes, begin, end); !part.done();) ends.push_back(part.next());
    };
    Index begin = 0;
    if (kind == PreTokenizer::smollm) {
        for (Index i = 0; i < size; ++i) {
            if (char_class(at(codes, i)) != CharClass::number) continue;
            split_part(begin, i);
            ends.push_back(i + 1);
            begin = i + 1;
        }
    }
    split_part(begin, size);
    return ends;
}

}  // namespace kvlab
