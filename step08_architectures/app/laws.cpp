#include "laws.hpp"

#include <algorithm>

#include <kvlab/attention/texts.hpp>

namespace kvlab::app {

namespace {

using Rows = std::vector<float>;  // [T, V] of logits, flat

// One text's laws. Every law gives rows of logits to compare with those of the whole text.
class LawChecker {
public:
    LawChecker(OpenedMixers& opened, std::span<const Token> text)
        : opened_(opened), text_(text), V_(opened.decoder.config().vocab) {
        const auto store = opened_.make_store(length());
        whole_ = run(opened_, *store, text_);
        bytes_ = store->bytes().logical;
    }

    Index length() const { return std::ssize(text_); }

    const Rows& whole() const { return whole_; }

    Index bytes() const { return bytes_; }

    Law in_chunks(OpenedMixers& opened, Index chunk) const {
        const auto store = opened.make_store(length());
        Rows rows;
        Law law;
        for (Index first = 0; first < length(); first += chunk) {
            const Rows part =
                run(opened, *store, part_of(first, std::min(first + chunk, length())));
            rows.insert(rows.end(), part.begin(), part.end());
            ++law.happened;
        }
        law.floats = compare(0, rows);
        return law;
    }

    // Back by `back` tokens, on with another text, back again and on with the own one.
    Law after_going_back(Index back) const {
        const Index to = length() - back;
        const auto store = opened_.make_store(length(), length());
        run(opened_, *store, text_);
        store->truncate(to);
        const Index changed = changed_rows(to, run(opened_, *store, other_text(to, length())));
        store->truncate(to);
        return {{}, compare(to, run(opened_, *store, part_of(to, length()))), changed};
    }

    // The fork goes on after its original has gone on with another text.
    Law of_fork(Index at) const {
        const auto store = opened_.make_store(length());
        run(opened_, *store, part_of(0, at));
        const auto fork = store->fork();
        const Index changed = changed_rows(at, run(opened_, *store, other_text(at, length())));
        return {{}, compare(at, run(opened_, *fork, part_of(at, length()))), changed};
    }

    // Steps of 16 tokens, beside a longer text's steps of 24.
    Law in_batch() const {
        constexpr Index kOwn = 16, kOther = 24;
        const Index steps = (length() + kOwn - 1) / kOwn;
        const auto own = opened_.make_store(length());
        const auto beside = opened_.make_store(steps * kOther);
        const std::vector<Token> other = other_text(0, kOther);
        Rows rows;
        for (Index first = 0; first < length(); first += kOwn) {
            const auto part = part_of(first, std::min(first + kOwn, length()));
            const SequenceStep batch[] = {{beside.get(), other},
                                          {own.get(), part, LogitsOf::all}};
            const auto flat =
                opened_.decoder.forward(batch).flat();  // the other's last row, too
            rows.insert(rows.end(), flat.begin() + V_, flat.end());
        }
        return {{}, compare(0, rows), steps};
    }

private:
    static Rows run(OpenedMixers& opened, KvStore& store, std::span<const Token> tokens) {
        const auto flat = opened.decoder.forward(store, tokens, LogitsOf::all).flat();
        return {flat.begin(), flat.end()};
    }

    std::span<const Token> part_of(Index first, Index last) const {
        return text_.subspan(usize(first), usize(last - first));
    }

    // At every place another token than the own one. Behind its end the text begins again.
    std::vector<Token> other_text(Index first, Index last) const {
        std::vector<Token> tokens;
        for (Index t = first; t < last; ++t)
            tokens.push_back(static_cast<Token>((text_[usize(t % length())] + 1) % V_));
        return tokens;
    }

    // Of rows [T, V] behind `first` tokens, those with other logits than the own text's.
    Index changed_rows(Index first, const Rows& rows) const {
        Index changed = 0;
        for (Index at = 0; at < std::ssize(rows); at += V_)
            changed +=
                compare_bits(std::span(whole_).subspan(usize(first * V_ + at), usize(V_)),
                             std::span(rows).subspan(usize(at), usize(V_)))
                    .differ > 0;
        return changed;
    }

    Difference compare(Index first, const Rows& rows) const {
        return compare_bits(std::span(whole_).subspan(usize(first * V_)), rows);
    }

    OpenedMixers& opened_;
    std::span<const Token> text_;
    Index V_, bytes_ = 0;
    Rows whole_;
};

}  // namespace

Difference LawsHeld::all() const {
    Difference sum;
    for (const Law& law : laws) sum.merge(law.floats);
    return sum;
}

bool LawsHeld::all_happened() const {
    return std::ranges::all_of(laws, [](const Law& law) { return law.happened > 0; });
}

LawsHeld check_laws(OpenedMixers& opened,
                    const std::string& folder,
                    std::span<const Token> text,
                    const LawCases& cases) {
    const LawChecker checker(opened, text);
    LawsHeld held;
    held.length = checker.length();
    held.bytes_measured = checker.bytes();
    held.bytes_form = opened.decoder.mixed_model().state_bytes(held.length);
    Checksum sum;
    sum.add(checker.whole());
    held.checksum = sum.hex();
    const auto add = [&](const std::string& name, Law law) {
        law.name = name;
        held.laws.push_back(std::move(law));
    };
    add("token by token", checker.in_chunks(opened, 1));
    for (const Index chunk : cases.chunks)
        add(concat("steps of ", chunk), checker.in_chunks(opened, chunk));
    for (const Index back : cases.backs)
        add(concat("back by ", back), checker.after_going_back(back));
    for (const Index at : cases.forks) add(concat("fork at ", at), checker.of_fork(at));
    if (cases.batch) add("in a batch", checker.in_batch());
    for (const EngineFlags& engine : cases.engines) {
        const auto other = open_mixers(folder, opened.name, engine);
        add(concat(engine.simd, ", threads: ", engine.threads), checker.in_chunks(*other, 100));
    }
    return held;
}

Json laws_json(const LawsHeld& held) {
    Json json{{"length", held.length},
              {"bytes_measured", held.bytes_measured},
              {"bytes_by_form", held.bytes_form},
              {"checksum", held.checksum},
              {"floats", held.all().count},
              {"differ", held.all().differ}};
    for (const Law& law : held.laws)
        json["laws"].push_back({{"law", law.name},
                                {"floats", law.floats.count},
                                {"differ", law.floats.differ},
                                {"max_ulp", law.floats.max_ulp},
                                {"happened", law.happened}});
    return json;
}

std::vector<Token> text_for_laws(const OpenedMixers& opened,
                                 const std::string& file,
                                 Index length) {
    return TextWindows(tokens_of_file(*opened.tokenizer, file), opened.bos(), length, 1)
        .input(0);
}

}  // namespace kvlab::app
