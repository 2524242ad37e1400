// Step 7, the server: tokens become text. Mistakes in mind: a stop string that lies across two
// tokens is missed, one that begins and is none swallows its beginning, half a character is
// sent, the logs of a stop string's tokens leave, the end token is shown.
#include <doctest/doctest.h>

#include <cmath>

#include <kvlab/serving/server_reply.hpp>

#include "random_data.hpp"
#include "small_vocabulary.hpp"

using namespace kvlab;

namespace {

// All that a cutter lets through of a text in these pieces.
std::string cut_text(const std::vector<std::string>& stops,
                     const std::vector<std::string>& pieces,
                     bool* stopped = nullptr) {
    StopCutter cutter(stops);
    std::string text;
    for (const std::string& piece : pieces) text += cutter.push(piece);
    text += cutter.finish();
    if (stopped != nullptr) *stopped = cutter.stopped();
    return text;
}

std::vector<std::string> single_letters(const std::string& text) {
    std::vector<std::string> letters;
    for (const char c : text) letters.emplace_back(1, c);
    return letters;
}

// What a text must become: letter by letter, until it ends with a stop string. Of two that end
// at the same letter the longer one begins first.
std::string before_first(const std::string& text, const std::vector<std::string>& stops) {
    for (std::size_t end = 1; end <= text.size(); ++end) {
        std::size_t longest = 0;
        for (const std::string& stop : stops)
            if (text.substr(0, end).ends_with(stop)) longest = std::max(longest, stop.size());
        if (longest > 0) return text.substr(0, end - longest);
    }
    return text;
}

struct SenderRig {
    std::unique_ptr<const Tokenizer> bytes = make_tokenizer(byte_data());
    TextSender sender;
    std::string text;
    std::vector<TokenLog> logs;
    std::vector<std::string> pieces;

    explicit SenderRig(std::vector<std::string> stops = {},
                       std::optional<Index> logprobs = std::nullopt)
        : sender(*bytes, std::move(stops), logprobs) {}

    void take(const SentText& sent) {
        pieces.push_back(sent.text);
        text += sent.text;
        logs.insert(logs.end(), sent.logs.begin(), sent.logs.end());
    }

    void push(std::string_view letters, std::span<const float> logits = {}) {
        for (const char c : letters)
            take(sender.push(static_cast<Token>(static_cast<unsigned char>(c)), logits));
    }

    void finish() { take(sender.finish()); }
};

}  // namespace

TEST_SUITE_BEGIN("step07");

TEST_CASE("stop strings: by hand") {
    bool stopped = false;
    CHECK(cut_text({"END"}, {"a", "E", "NX", "EN", "D", "x"}, &stopped) == "aENX");
    CHECK(stopped);
    CHECK(cut_text({"END"}, {"a", "EN"}, &stopped) == "aEN");  // it was none
    CHECK_FALSE(stopped);
    CHECK(cut_text({"END"}, {"ENDING"}) == "");
    CHECK(cut_text({}, {"any", "thing"}) == "anything");
    // The one that is complete first wins, whichever is named first.
    CHECK(cut_text({"cd", "b"}, single_letters("abcd")) == "a");
    CHECK(cut_text({"abcd", "bc"}, single_letters("xabce")) == "xa");
    CHECK(cut_text({"aab"}, single_letters("aaaab")) == "aa");
    CHECK(cut_text({"\n\n"}, {"a\n", "b\n", "\nc"}) == "a\nb");
}

TEST_CASE("stop strings: what is sent early is never more than what may be kept") {
    StopCutter cutter({"END"});
    CHECK(cutter.push("aE") == "a");
    CHECK(cutter.push("N") == "");
    CHECK(cutter.push("x") == "ENx");
    CHECK(cutter.push("EEN") == "E");
    CHECK(cutter.push("D") == "");
    CHECK(cutter.stopped());
    CHECK(cutter.push("more") == "");
    CHECK(cutter.finish() == "");
}

TEST_CASE("stop strings: any text in any pieces is cut where the whole one would be") {
    Rng rng(7);
    Index cut = 0, whole = 0;
    for (int round = 0; round < 3000; ++round) {
        const auto word = [&](Index most) {
            std::string text;
            for (Index n = 1 + rng.below(most); n > 0; --n)
                text += static_cast<char>('a' + rng.below(2));
            return text;
        };
        std::vector<std::string> stops, pieces;
        for (Index n = 1 + rng.below(3); n > 0; --n) stops.push_back(word(5));
        std::string text;
        for (Index n = rng.below(7); n > 0; --n) {
            pieces.push_back(word(4));
            text += pieces.back();
        }
        const std::string expected = before_first(text, stops);
        (expected == text ? whole : cut) += 1;
        REQUIRE(cut_text(stops, pieces) == expected);
    }
    CHECK(cut > 500);
    CHECK(whole > 500);
}

TEST_CASE("text sender: only whole characters leave") {
    SenderRig rig;
    rig.push("a\xc3\xa9\xf0\x9f\x98\x80");
    CHECK(rig.text == "a\xc3\xa9\xf0\x9f\x98\x80");
    CHECK(rig.pieces ==
          std::vector<std::string>{"a", "", "\xc3\xa9", "", "", "", "\xf0\x9f\x98\x80"});
    rig.push("\xe2\x82");
    CHECK(rig.pieces.back() == "");
    rig.finish();
    CHECK(rig.text == "a\xc3\xa9\xf0\x9f\x98\x80\xef\xbf\xbd");  // cut off: U+FFFD
}

TEST_CASE("text sender: a stop string of bytes that come one by one") {
    SenderRig rig({"\xc3\xa9!"});
    rig.push("x\xc3\xa9?\xc3\xa9!y");
    CHECK(rig.sender.stopped());
    rig.finish();
    CHECK(rig.text == "x\xc3\xa9?");
}

TEST_CASE("text sender: the token that ends a text is no text") {
    SenderRig rig;
    rig.push(std::string_view("ab\0", 3));
    rig.finish();
    CHECK(rig.text == "ab");
}

TEST_CASE("token logs: natural logarithms of the model's own shares") {
    const std::vector<float> logits{0.0f, std::log(2.0f), std::log(4.0f), std::log(2.0f)};
    const TokenLog log = log_of(logits, 0, 3);
    CHECK(log.chosen.token == 0);
    CHECK(log.chosen.logprob == doctest::Approx(std::log(1.0 / 9)));
    REQUIRE(log.top.size() == 3);
    CHECK(log.top[0].token == 2);
    CHECK(log.top[0].logprob == doctest::Approx(std::log(4.0 / 9)));
    CHECK(log.top[1].token == 1);  // of equal ones the lower token
    CHECK(log.top[2].token == 3);
    CHECK(log_of(logits, 1, 0).top.empty());
    CHECK(log_of(logits, 1, 20).top.size() == 4);
}

TEST_CASE("token logs: they leave with their text and those of a stop string do not") {
    const std::vector<float> logits(256, 0.0f);
    SenderRig rig({"END"}, 1);
    rig.push("a\xc3\xa9", logits);
    CHECK(rig.logs.size() == 3);  // two tokens of one character
    rig.push("EN", logits);
    CHECK(rig.logs.size() == 3);  // held back
    rig.push("x", logits);
    REQUIRE(rig.logs.size() == 6);
    CHECK(rig.logs[0].offset == 0);
    CHECK(rig.logs[1].offset == 1);
    CHECK(rig.logs[2].offset == 1);
    CHECK(rig.logs[3].offset == 2);  // characters, not bytes
    CHECK(rig.logs[5].chosen.token == 'x');
    CHECK(rig.logs[5].chosen.logprob == doctest::Approx(-std::log(256.0)));
    rig.push("yEND", logits);
    rig.finish();
    CHECK(rig.text ==
          "a\xc3\xa9"
          "ENxy");
    REQUIRE(rig.logs.size() == 7);
    CHECK(rig.logs[6].chosen.token == 'y');
    // At the end of a text what was held back leaves with its logs.
    SenderRig other({"END"}, 0);
    other.push("EN", logits);
    CHECK(other.logs.empty());
    other.finish();
    CHECK(other.text == "EN");
    CHECK(other.logs.size() == 2);
}

TEST_SUITE_END();
