// Tokenizers, on vocabularies small enough to check by hand. The real one: smollm2_tests.
#include <functional>
#include <random>

#include <doctest/doctest.h>

#include <kvlab/weights/bpe_tokenizer.hpp>
#include <kvlab/weights/byte_tokenizer.hpp>
#include <kvlab/weights/gguf_file.hpp>
#include <kvlab/weights/tokenizer.hpp>

#include "small_vocabulary.hpp"

using namespace kvlab;

namespace {

// "low|er": the pieces of the tokens, for reading.
std::string pieces(const Tokenizer& tokenizer, const std::vector<Token>& tokens) {
    std::string text;
    for (const Token token : tokens) {
        if (!text.empty()) text += "|";
        text += token == kNoToken ? "?" : tokenizer.piece(token);
    }
    return text;
}

std::string encoded(std::string_view text, EncodeOptions options = {}) {
    static const auto tokenizer = make_tokenizer(small_bpe_data());
    return pieces(*tokenizer, tokenizer->encode(text, options));
}

// The message of the Error that `action` throws, "" if it throws none.
std::string error_of(const std::function<void()>& action) {
    try {
        action();
    } catch (const Error& error) {
        return error.what();
    }
    return "";
}

std::string error_after(const std::function<void(TokenizerData&)>& change,
                        TokenizerData data = small_bpe_data()) {
    change(data);
    return error_of([&] { make_tokenizer(std::move(data)); });
}

bool holds(const std::string& text, std::string_view part) {
    return text.find(part) != text.npos;
}

std::string random_bytes(std::mt19937& random, std::size_t longest) {
    std::string text(random() % (longest + 1), '\0');
    for (char& byte : text) byte = static_cast<char>(random() % 256);
    return text;
}

}  // namespace

TEST_SUITE("weights") {
    TEST_CASE("tokenizer: the lowest rank merges first wherever it stands") {
        CHECK(encoded("lower") == "low|er");
        CHECK(encoded("newest") == "new|est");
        CHECK(encoded("wes") == "w|es");  // w-e stands first but e-s ranks lower
        CHECK(encoded("we") == "we");
        CHECK(encoded("") == "");
    }

    TEST_CASE("tokenizer: of equal ranks the leftmost merges first") {
        CHECK(encoded("aaa") == "aa|a");
        CHECK(encoded("aaaa") == "aaaa");
        CHECK(encoded("aaaaa") == "aaaa|a");
        CHECK(encoded("aaaaaaa") == "aaaa|aa|a");
    }

    TEST_CASE("tokenizer: the steps of the worked example") {
        const BpeTokenizer tokenizer(small_bpe_data());
        std::vector<std::string> steps;
        for (const auto& step : tokenizer.merge_steps(" lower"))
            steps.push_back(pieces(tokenizer, step));
        CHECK(steps == std::vector<std::string>{" |l|o|w|e|r", " |lo|w|e|r", " |low|e|r",
                                                " |low|er", " low|er"});
        CHECK(pieces(tokenizer, tokenizer.merge_steps("a\x04").front()) == "a|?");
    }

    TEST_CASE("tokenizer: the fast merge loop equals the plain one") {
        const BpeTokenizer tokenizer(small_bpe_data());
        std::mt19937 random(1);
        for (int i = 0; i < 2000; ++i) {
            std::string word(1 + random() % 40, 'a');
            for (char& letter : word) letter = "aaelnorstw"[random() % 10];
            CAPTURE(word);
            CHECK(tokenizer.encode(word) == tokenizer.merge_steps(word).back());
        }
    }

    TEST_CASE("tokenizer: words are cut before merging") {
        CHECK(encoded("low low") == "low| low");
        CHECK(encoded("12") == "1|2");           // there is a merge, but digits stand alone
        CHECK(encoded("a  low") == "a| | low");  // the last space belongs to the word
        CHECK(encoded("a  1") == "a|  |1");      // but not to a digit
        CHECK(encoded("a  ") == "a|  ");
        CHECK(encoded("a's") == "a|'s");
        CHECK(encoded("!'s") == "!|'|s");  // the quote belongs to the run of signs
    }

    TEST_CASE("tokenizer: seven endings are words of their own, and no others") {
        const auto ends = [](const std::u32string& word) {
            return split_words({word.begin(), word.end()}, PreTokenizer::gpt2);
        };
        for (const char32_t* one : {U"s", U"t", U"m", U"d"})
            CHECK(ends(std::u32string(U"a'") + one + U"e") == std::vector<Index>{1, 3, 4});
        for (const char32_t* two : {U"re", U"ve", U"ll"})
            CHECK(ends(std::u32string(U"a'") + two + U"s") == std::vector<Index>{1, 4, 5});
        // Otherwise the quote is a sign, and letters follow.
        for (const char32_t* none : {U"ra", U"va", U"la", U"xe", U"xl", U"el", U"Se"})
            CHECK(ends(std::u32string(U"a'") + none) == std::vector<Index>{1, 2, 4});
        CHECK(ends(U"a'r") == std::vector<Index>{1, 2, 3});
        CHECK(ends(U"a'") == std::vector<Index>{1, 2});
    }

    TEST_CASE("tokenizer: gpt-2 keeps digits together") {
        for (const char* name : {"gpt-2", "gpt2", ""}) {
            TokenizerData data = small_bpe_data();
            data.pre = name;
            const auto tokenizer = make_tokenizer(std::move(data));
            CHECK(pieces(*tokenizer, tokenizer->encode("a 12")) == "a| |12");
        }
    }

    TEST_CASE("tokenizer: special tokens only where they are asked for") {
        CHECK(encoded("<|im_end|>").size() > std::string("<|im_end|>").size());
        CHECK(encoded("a<|im_end|>b", {.parse_special = true}) == "a|<|im_end|>|b");
        CHECK(encoded("<|im_end|>!", {.parse_special = true}) == "<|im_end|>!");
        CHECK(encoded("<|im_end|><|im_end|>!", {.parse_special = true}) ==
              "<|im_end|>|<|im_end|>!");
        const auto tokenizer = make_tokenizer(small_bpe_data());
        for (const Token token : tokenizer->encode("<|im_end|>!<|endoftext|>"))
            CHECK_FALSE(tokenizer->is_control(token));
        CHECK(encoded("a KV cache") == "a| |KV cache");  // user-defined: a piece of text
        CHECK(encoded("low", {.add_bos = true}) == "<|im_start|>|low");
    }

    TEST_CASE("tokenizer: lossless on what the vocabulary can write and counted otherwise") {
        const auto tokenizer = make_tokenizer(small_bpe_data());
        CHECK(tokenizer->unwritable_bytes() == 2);
        std::mt19937 random(2);
        int lossless = 0;
        for (int i = 0; i < 4000; ++i) {
            const std::string text = random_bytes(random, 12);
            EncodeReport report;
            const std::string back = tokenizer->decode(tokenizer->encode(text, {}, &report));
            CAPTURE(text);
            // What comes back is the cleaned text without the bytes that cannot be written.
            std::string expected = read_code_points(text).bytes;
            const auto dropped = std::erase_if(
                expected, [](char byte) { return byte == '\x04' || byte == '\xf5'; });
            CHECK(back == expected);
            CHECK(report.dropped_bytes == static_cast<Index>(dropped));
            if (report.lossless()) CHECK(back == text);
            lossless += report.lossless() ? 1 : 0;
        }
        CHECK(lossless > 200);  // mostly the short ones
        EncodeReport report;
        tokenizer->encode("a\x04\x04\xff", {}, &report);
        tokenizer->encode("\x04", {}, &report);
        CHECK(report.dropped_bytes == 3);
        CHECK(report.invalid_bytes == 1);
    }

    TEST_CASE("tokenizer: a run of 300000 letters is not quadratic") {
        const auto tokenizer = make_tokenizer(small_bpe_data());
        const std::vector<Token> tokens = tokenizer->encode(std::string(300000, 'a'));
        CHECK(tokens.size() == 75000);  // the test's time limit is the assertion
        CHECK(tokenizer->encode(std::string(300000, '\'')).size() == 300000);
    }

    TEST_CASE("tokenizer: bytes there and back") {
        const auto tokenizer = make_tokenizer(byte_data());
        CHECK(tokenizer->vocab_size() == 256);
        CHECK(tokenizer->unwritable_bytes() == 0);
        CHECK(tokenizer->bos() == 0);
        CHECK(tokenizer->wants_bos());
        CHECK(tokenizer->is_end(0));
        CHECK(tokenizer->encode("a<|im_end|>", {.parse_special = true}).size() == 11);
        CHECK(tokenizer->encode("Hi", {.add_bos = true}) == std::vector<Token>{0, 'H', 'i'});
        std::mt19937 random(3);
        for (int i = 0; i < 2000; ++i) {
            const std::string text = random_bytes(random, 64);
            EncodeReport report;
            CHECK(tokenizer->decode(tokenizer->encode(text, {}, &report)) == text);
            CHECK(report.lossless());
        }
    }

    TEST_CASE("tokenizer: the file of the tiny model speaks bytes") {
        const GgufFile file = GgufFile::open(KVLAB_SOURCE_DIR "/weights/tiny.gguf");
        const auto tokenizer = make_tokenizer(file.metadata());
        CHECK(tokenizer->wants_bos());
        CHECK(tokenizer->bos() == 0);
        std::string every;
        for (int byte = 0; byte < 256; ++byte) every.push_back(static_cast<char>(byte));
        const std::vector<Token> tokens = tokenizer->encode(every);
        REQUIRE(tokens.size() == 256);
        for (Token token = 0; token < 256; ++token) CHECK(at(tokens, token) == token);
        CHECK(tokenizer->decode(tokens) == every);
    }

    TEST_CASE("tokenizer: ends and controls") {
        const auto tokenizer = make_tokenizer(small_bpe_data());
        const Token end = tokenizer->find_control("<|im_end|>");
        CHECK(end == tokenizer->eos());
        CHECK(tokenizer->is_end(end));
        CHECK(tokenizer->is_end(tokenizer->find_control("<|endoftext|>")));
        CHECK_FALSE(tokenizer->is_end(tokenizer->find_control("<|im_start|>")));
        CHECK(tokenizer->is_control(end));
        CHECK(tokenizer->find_control("KV cache") == kNoToken);
        CHECK(tokenizer->find_control("low") == kNoToken);
        CHECK(tokenizer->piece(end) == "<|im_end|>");
        for (const Token token : {Token{-1}, static_cast<Token>(tokenizer->vocab_size())}) {
            CHECK_THROWS_AS(tokenizer->piece(token), Error);
            CHECK_THROWS_AS(tokenizer->is_end(token), Error);
            CHECK_THROWS_AS(tokenizer->is_control(token), Error);
        }
        CHECK(holds(error_of([&] { tokenizer->piece(300); }), "expected a token from 0 to"));
    }

    TEST_CASE("tokenizer: hostile vocabularies end in one clear line") {
        using D = TokenizerData;
        const std::vector<std::pair<std::function<void(D&)>, const char*>> cases = {
            {[](D& d) { d.model = "bert"; }, "tokenizer.ggml.model: expected 'gpt2'"},
            {[](D& d) { d.model = "llama"; }, "expected 'gpt2', or 'llama' with 256 tokens"},
            {[](D& d) { d.pre = "qwen2"; }, "expected 'smollm' or 'gpt-2', got 'qwen2'"},
            {[](D& d) { d.tokens.clear(); }, "has no tokens"},
            {[](D& d) { d.types.pop_back(); }, "token types"},
            {[](D& d) { d.types[7] = TokenType{9}; }, "token 7: expected a type from 1 to 6"},
            {[](D& d) { d.types[7] = TokenType::byte; }, "type 6 (byte)"},
            {[](D& d) { d.tokens[7] = ""; }, "token 7 is empty"},
            {[](D& d) { d.tokens[7] = d.tokens[3]; }, "is the same as token 3"},
            {[](D& d) { d.tokens[7] = "a b"; }, "a letter for no byte"},
            {[](D& d) { d.tokens[7] = "\xff"; }, "is not UTF-8"},
            {[](D& d) { d.bos = 9999; }, "bos: expected a token from 0 to"},
            {[](D& d) { d.eos = -7; }, "eos: expected a token from 0 to"},
            {[](D& d) { d.eot = 9999; }, "eot: expected a token from 0 to"},
            {[](D& d) { d.merges[2] = "er"; }, "merge 2, 'er': expected two parts"},
            {[](D& d) { d.merges[2] = " er"; }, "expected two parts"},
            {[](D& d) { d.merges[2] = "er "; }, "expected two parts"},
            {[](D& d) { d.merges[2] = "q zz"; }, "'qzz' is not in the vocabulary"},
            {[](D& d) { d.merges[2] = "lowe r"; }, "is not in the vocabulary"},
            {[](D& d) { d.merges[2] = d.merges[1]; }, "stands there twice"},
            {[](D& d) { d.merges[2] = "<|im_end|> !"; }, "is not a normal token"},
        };
        for (const auto& [change, part] : cases) {
            const std::string expected = part, message = error_after(change);
            CAPTURE(expected);
            CAPTURE(message);
            CHECK(holds(message, expected));
            CHECK(message.starts_with("small: "));
            CHECK_FALSE(holds(message, "\n"));
        }
        CHECK(holds(error_after([](D& d) { std::swap(d.tokens[1], d.tokens[2]); }, byte_data()),
                    "expected <0x01>"));
        CHECK(holds(error_after([](D& d) { d.types[1] = TokenType::normal; }, byte_data()),
                    "token 1: expected type 6"));
        CHECK(holds(error_after([](D& d) { d.tokens[32] = "\xe2\x96\x81"; }, byte_data()),
                    "token 32: expected type 1 (normal)"));
        TokenizerData no_bos = small_bpe_data();
        no_bos.bos = kNoToken;
        const auto tokenizer = make_tokenizer(std::move(no_bos));
        CHECK_THROWS_AS(tokenizer->encode("a", {.add_bos = true}), Error);
    }
}
