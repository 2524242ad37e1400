// What a model file's reader and the tokenizers say when they refuse: every message as a reader
// meets it, and beside it the last value that is still taken.
#include <doctest/doctest.h>

#include <limits>
#include <span>
#include <string>
#include <vector>

#include <kvlab/weights/byte_tokenizer.hpp>
#include <kvlab/weights/chat.hpp>
#include <kvlab/weights/convert.hpp>
#include <kvlab/weights/gguf_file.hpp>
#include <kvlab/weights/gguf_writer.hpp>
#include <kvlab/weights/pretokenize.hpp>
#include <kvlab/weights/tokenizer.hpp>
#include <kvlab/weights/unicode.hpp>
#include <kvlab/weights/weight_source.hpp>

#include "gguf_samples.hpp"
#include "small_vocabulary.hpp"
#include "weights_support.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

// A file of two tensors of 32 floats, the second from this offset on.
GgufFile two_tensors(std::uint64_t offset) {
    return GgufFile::parse(RawGguf()
                               .header(2, 0)
                               .tensor("a", {32}, 0, 0)
                               .tensor("b", {32}, 0, offset)
                               .pad()
                               .data(256)
                               .bytes(),
                           "f");
}

// What a chat says of this vocabulary.
void chat_with(const TokenizerData& data) {
    const auto tokenizer = make_tokenizer(data);
    const ChatFormat chat(*tokenizer);
}

TokenizerData without_token(const std::string& name) {
    TokenizerData data = small_bpe_data();
    for (std::string& token : data.tokens)
        if (token == name) token = "another name";
    return data;
}

TokenizerData with_template(const std::string& text) {
    TokenizerData data = small_bpe_data();
    data.chat_template = text;
    return data;
}

// The small template with another system message.
std::string template_of(const std::string& message) {
    std::string text = kSmallTemplate;
    const std::string old = "Be brief.";
    return text.replace(text.find(old), old.size(), message);
}

TokenizerData data_with_bos(std::uint64_t bos) {
    Metadata metadata("f");
    metadata.set("tokenizer.ggml.model", std::string("gpt2"));
    metadata.set("tokenizer.ggml.tokens", std::vector<std::string>{"a"});
    metadata.set("tokenizer.ggml.bos_token_id", bos);
    return read_tokenizer_data(metadata);
}

}  // namespace

TEST_SUITE_BEGIN("weights");

TEST_CASE("messages: a string that is longer than the file") {
    const auto named = [](std::uint64_t length) {
        RawGguf raw;
        raw.header(0, 1).number(length).text("k");
        return raw.number(std::uint32_t{7}).number(std::uint8_t{1}).bytes();
    };
    CHECK(GgufFile::parse(named(1), "f").metadata().get_bool("k"));
    CHECK_THROWS_WITH_AS(
        GgufFile::parse(named(7), "f"),
        "f: key 0 name: expected at most 6 (the file ends after that), found 7", Error);
    CHECK_THROWS_WITH_AS(GgufFile::parse(named(std::numeric_limits<std::uint64_t>::max()), "f"),
                         "f: key 0 name: expected at most 6 (the file ends after that), found "
                         "18446744073709551615",
                         Error);
}

TEST_CASE("messages: tensors may be neighbours and may not share bytes") {
    CHECK(two_tensors(128).tensors().size() == 2);
    CHECK_THROWS_WITH_AS(two_tensors(96),
                         "f: tensor 'b' offset: expected data of its own, found that of 'a'",
                         Error);
}

TEST_CASE("messages: names, types and alignments at their borders") {
    const auto named = [](std::size_t length) {
        return GgufFile::parse(RawGguf()
                                   .header(1, 0)
                                   .tensor(std::string(length, 'n'), {32}, 0, 0)
                                   .pad()
                                   .data(128)
                                   .bytes(),
                               "f")
            .tensors()[0]
            .name.size();
    };
    CHECK(named(63) == 63);
    CHECK(named(1) == 1);
    CHECK_THROWS_WITH_AS(named(64), "f: tensor 0 name: expected a length of 1 to 63, found 64",
                         Error);
    CHECK_THROWS_WITH_AS(named(0), "f: tensor 0 name: expected a length of 1 to 63, found 0",
                         Error);
    const auto array_of = [](std::uint32_t type) {
        return GgufFile::parse(RawGguf()
                                   .header(0, 1)
                                   .key("k", 9)
                                   .number(type)
                                   .number(std::uint64_t{0})
                                   .bytes(),
                               "f")
            .metadata()
            .contains("k");
    };
    CHECK(array_of(12));
    for (const std::uint32_t type : {9u, 13u})
        CHECK_THROWS_WITH_AS(
            array_of(type),
            concat("f: key 'k' element type: expected 0 to 12 but not 9 (an array), found ",
                   type)
                .c_str(),
            Error);
    const auto aligned = [](std::uint32_t alignment) {
        return GgufFile::parse(
                   RawGguf().header(0, 1).key("general.alignment", 4).number(alignment).bytes(),
                   "f")
            .tensors()
            .size();
    };
    for (const std::uint32_t good : {8u, 65536u}) CHECK(aligned(good) == 0);
    for (const std::uint32_t bad : {0u, 4u, 24u, 131072u})
        CHECK_THROWS_WITH_AS(aligned(bad),
                             concat("f: key 'general.alignment': expected u32, a power of two "
                                    "from 8 to 65536, found u32 ",
                                    bad)
                                 .c_str(),
                             Error);
}

TEST_CASE("messages: an opened file that is none is refused by its name") {
    const Folder folder;
    folder.write("x.gguf", std::vector<std::byte>(32, std::byte{'x'}));
    CHECK_THROWS_WITH_AS(
        GgufFile::open(folder / "x.gguf"),
        concat((folder / "x.gguf").string(), ": magic: expected 'GGUF', found 'xxxx'").c_str(),
        Error);
}

TEST_CASE("messages: a type that has no number in a file is written nowhere") {
    const Folder folder;
    const std::vector<std::byte> none = GgufWriter().to_bytes();
    CHECK_THROWS_WITH_AS(
        convert(GgufFile::parse(none, "in"), folder / "out.gguf", static_cast<TensorType>(99)),
        "convert: unknown tensor type", Error);
    CHECK(folder.files() == 0);
}

TEST_CASE("messages: a tensor has the bytes of its shape") {
    const std::vector<std::byte> bytes(17);
    const auto size = [&](std::size_t count) {
        return to_f32({"t", TensorType::f32, {2, 2}, std::span(bytes).first(count)}).size();
    };
    CHECK(size(16) == 4);
    CHECK_THROWS_WITH_AS(size(15), "tensor 't': expected 16 bytes, found 15", Error);
    CHECK_THROWS_WITH_AS(size(17), "tensor 't': expected 16 bytes, found 17", Error);
}

TEST_CASE("messages: the last code point") {
    std::string text;
    append_utf8(text, 0x10ffff);
    CHECK(text == "\xf4\x8f\xbf\xbf");
    CHECK_THROWS_WITH_AS(append_utf8(text, 0x110000),
                         "append_utf8: expected at most 0x10ffff, got 1114112", Error);
    CHECK(text.size() == 4);
}

TEST_CASE("messages: a vocabulary that is none") {
    TokenizerData empty = small_bpe_data();
    empty.tokens.clear();
    CHECK_THROWS_WITH_AS(make_tokenizer(empty), "small: the vocabulary has no tokens", Error);

    TokenizerData one;
    one.source = "one";
    one.model = "gpt2";
    one.tokens = {"a"};
    CHECK(make_tokenizer(one)->vocab_size() == 1);

    TokenizerData bytes = byte_data();
    const auto size = [&] { return ByteTokenizer(bytes).vocab_size(); };
    CHECK(size() == 256);
    bytes.tokens.push_back("<0x100>");
    bytes.types.push_back(TokenType::byte);
    CHECK_THROWS_WITH_AS(size(), "bytes: expected 256 byte tokens, got 257", Error);
    bytes.tokens.resize(255);
    bytes.types.resize(255);
    CHECK_THROWS_WITH_AS(size(), "bytes: expected 256 byte tokens, got 255", Error);
}

TEST_CASE("messages: a pre-tokenizer that kvlab does not have") {
    CHECK_THROWS_WITH_AS(pre_tokenizer_by_name("llama-bpe", "f"),
                         "f: tokenizer.ggml.pre: expected 'smollm' or 'gpt-2', got 'llama-bpe'",
                         Error);
    CHECK(pre_tokenizer_by_name("smollm", "f") == PreTokenizer::smollm);
    for (const char* name : {"gpt-2", "gpt2", ""})
        CHECK(pre_tokenizer_by_name(name, "f") == PreTokenizer::gpt2);
}

TEST_CASE("messages: a token is one of the vocabulary") {
    const auto tokenizer = make_tokenizer(byte_data());
    for (const Token bad : {256, -1}) {
        const auto refused = [&](const char* what) {
            return concat("bytes: ", what, ": expected a token from 0 to 255, got ", bad);
        };
        CHECK_THROWS_WITH_AS(tokenizer->piece(bad), refused("piece").c_str(), Error);
        CHECK_THROWS_WITH_AS(tokenizer->is_control(bad), refused("is_control").c_str(), Error);
        CHECK_THROWS_WITH_AS(tokenizer->is_end(bad), refused("is_end").c_str(), Error);
    }
    CHECK(tokenizer->piece(255) == "\xff");
    CHECK_FALSE(tokenizer->is_control(255));
    CHECK_FALSE(tokenizer->is_end(255));
    CHECK(tokenizer->is_end(0));

    TokenizerData data = byte_data();
    data.bos = 255;
    CHECK(make_tokenizer(data)->encode("", {.add_bos = true}) == std::vector<Token>{255});
    data.bos = 256;
    CHECK_THROWS_WITH_AS(make_tokenizer(data),
                         "bytes: bos: expected a token from 0 to 255, got 256", Error);
    data.bos = kNoToken;
    const auto without = make_tokenizer(data);
    CHECK(without->encode("a") == std::vector<Token>{'a'});
    CHECK_THROWS_WITH_AS(
        without->encode("a", {.add_bos = true}),
        "bytes: bos, which add_bos asks for: expected a token from 0 to 255, got -1", Error);
}

TEST_CASE("messages: the index of a token in a file is a token") {
    CHECK(data_with_bos(0x7fffffff).bos == 0x7fffffff);
    CHECK_THROWS_WITH_AS(data_with_bos(0x80000000),
                         "f: tokenizer.ggml.bos_token_id: expected a token, got 2147483648",
                         Error);
    CHECK_THROWS_WITH_AS(data_with_bos(0xfffffffe),
                         "f: tokenizer.ggml.bos_token_id: expected a token, got 4294967294",
                         Error);
    CHECK(data_with_bos(0xffffffff).bos == kNoToken);  // so some writers say that there is none
    CHECK_THROWS_WITH_AS(data_with_bos(0x100000000),
                         "f: tokenizer.ggml.bos_token_id: expected a token, got 4294967296",
                         Error);
}

TEST_CASE("messages: what cannot chat says why") {
    CHECK_NOTHROW(chat_with(small_bpe_data()));
    CHECK_THROWS_WITH_AS(chat_with(without_token("<|im_start|>")),
                         "small: the vocabulary has no control token <|im_start|>", Error);
    CHECK_THROWS_WITH_AS(chat_with(without_token("<|im_end|>")),
                         "small: the vocabulary has no control token <|im_end|>", Error);
    CHECK_THROWS_WITH_AS(chat_with(with_template("")),
                         "small: tokenizer.chat_template: the model has none, it cannot chat",
                         Error);
    CHECK_THROWS_WITH_AS(
        chat_with(with_template("{{ x }}")),
        "small: tokenizer.chat_template: expected SmolLM2's (ChatML), got '{{ x }}'", Error);
    CHECK_THROWS_WITH_AS(
        chat_with(with_template(std::string(kSmallTemplate) + "x")),
        doctest::Contains("small: tokenizer.chat_template: expected SmolLM2's (ChatML), got '"),
        Error);
    const std::string head =
        "small: tokenizer.chat_template: expected a system message without ' and \\, got ";
    CHECK_THROWS_WITH_AS(chat_with(with_template(template_of("it's"))),
                         (head + "'it\\x27s'").c_str(), Error);
    CHECK_THROWS_WITH_AS(chat_with(with_template(template_of("a\\b"))),
                         (head + "'a\\x5cb'").c_str(), Error);
    CHECK_NOTHROW(chat_with(with_template(template_of(""))));
}

TEST_SUITE_END();
