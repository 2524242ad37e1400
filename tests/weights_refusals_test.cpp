// What a stranger's file may not do: reach the terminal, end the program, or be left unread
// without a word. What breaks it: an escape that is printed, a type without its name, a page
// that is gone, a folder that reads as an empty file.
#include <doctest/doctest.h>

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>

#include <kvlab/tensor/text.hpp>
#include <kvlab/weights/convert.hpp>
#include <kvlab/weights/gguf_file.hpp>
#include <kvlab/weights/gguf_writer.hpp>
#include <kvlab/weights/input_file.hpp>
#include <kvlab/weights/model_path.hpp>
#include <kvlab/weights/tokenizer.hpp>

#include "gguf_samples.hpp"
#include "weights_support.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

// Three tensors of 64 KiB each: many pages, whatever a page is.
GgufWriter three_tensors() {
    GgufWriter writer;
    writer.metadata().set("general.architecture", std::string("sample"));
    for (const char* name : {"first", "second", "third"})
        writer.add(name, {64, 256}, std::vector<float>(64 * 256, 0.5f));
    return writer;
}

}  // namespace

TEST_SUITE_BEGIN("weights");

TEST_CASE("text: what a terminal would obey is made visible") {
    CHECK(printable("caf\u00e9 \u4e2d \U0001f600 'a\\b'") ==
          "caf\u00e9 \u4e2d \U0001f600 'a\\b'");
    CHECK(printable("\x1b[31mred\x07\x7f\r\n") == "\\x1b[31mred\\x07\\x7f\\x0d\\x0a");
    CHECK(printable("\u0080\u009b31m\u009f") == "\\u{0080}\\u{009b}31m\\u{009f}");
    CHECK(printable("\u00a0") == "\u00a0");  // a space, which is seen
    for (const auto& pair :
         std::vector<std::pair<std::string, std::string>>{{"\u200e", "\\u{200e}"},
                                                          {"\u200f", "\\u{200f}"},
                                                          {"\u202a", "\\u{202a}"},
                                                          {"\u202e", "\\u{202e}"},
                                                          {"\u2066", "\\u{2066}"},
                                                          {"\u2069", "\\u{2069}"},
                                                          {"\u061c", "\\u{061c}"},
                                                          {"\u00ad", "\\u{00ad}"},
                                                          {"\u200b", "\\u{200b}"},
                                                          {"\u2028", "\\u{2028}"},
                                                          {"\u2060", "\\u{2060}"},
                                                          {"\ufeff", "\\u{feff}"},
                                                          {"\U000e0041", "\\u{e0041}"}}) {
        const std::string &hidden = pair.first, &shown = pair.second;
        CAPTURE(shown);
        CHECK(printable("a" + hidden + "b") == "a" + shown + "b");
        CHECK(printable("a" + hidden + "b", Keep::lines) == "a" + shown + "b");
        CHECK(quote("a" + hidden + "b") == "'a" + shown + "b'");
    }
    CHECK(printable("a\n\tb\u200d\u200c\r\x1b", Keep::lines) == "a\n\tb\u200d\u200c\\x0d\\x1b");
    CHECK(printable("\u200d") == "\\u{200d}");
    CHECK(printable("a\xff\xc2z\xed\xa0\x80") == "a\\xff\\xc2z\\xed\\xa0\\x80");
    CHECK(printable(std::string_view("\0", 1)) == "\\x00");
    CHECK(printable("").empty());
}

TEST_CASE("text: no message carries what a file holds as it is") {
    const std::string evil = "x\u009b\u202e\x1b]0;y\x07";
    const std::string shown = "'x\\u{009b}\\u{202e}\\x1b]0;y\\x07'";
    const auto refused = [](const RawGguf& raw) {
        return error_of([&] { GgufFile::parse(raw.bytes(), "f"); });
    };
    CHECK(refused(RawGguf().header(0, 1).key(evil, 99)).starts_with("f: key " + shown));
    CHECK(refused(RawGguf().header(1, 0).tensor(evil, {32}, 99, 0).pad().data(64))
              .starts_with("f: tensor " + shown));
    Metadata metadata("f");
    metadata.set("k", evil);
    CHECK(describe(*metadata.find("k")) == "string " + shown);
    CHECK(error_of([&] { metadata.get_u64("k"); }).find(shown) != std::string::npos);
}

TEST_CASE("gguf: a type that kvlab does not read is refused by its name") {
    const auto refused = [](std::uint32_t type) {
        return error_of([&] {
            GgufFile::parse(
                RawGguf().header(1, 0).tensor("t", {256}, type, 0).pad().data(999).bytes(),
                "f");
        });
    };
    const std::string head =
        "f: tensor 't' type: expected F32 (0), F16 (1), BF16 (30), Q8_0 (8), Q4_0 (2), Q4_1 "
        "(3) "
        "or Q4_K (12), found ";
    CHECK(refused(6) == head + "Q5_0 (6)");
    CHECK(refused(14) == head + "Q6_K (14)");
    CHECK(refused(20) == head + "IQ4_NL (20)");
    CHECK(refused(39) == head + "MXFP4 (39)");
    CHECK(refused(36) == head + "unknown (36)");
    CHECK(refused(4000000000u) == head + "unknown (4000000000)");
}

TEST_CASE("gguf: a file that is cut short after it was opened is an error") {
    const Folder folder;
    const auto whole = three_tensors().to_bytes();
    const std::size_t sizes[] = {0, 1, whole.size() / 2, whole.size() - 70000,
                                 whole.size() - 1};
    for (const std::size_t size : sizes) {
        CAPTURE(size);
        const auto path = folder / "cut.gguf";
        three_tensors().write(path);
        const GgufFile file = GgufFile::open(path);
        file.release(file.tensor("first"));  // so that it has to be read again
        std::filesystem::resize_file(path, size);
        const std::string expected = concat(path.string(), ": expected ", whole.size(),
                                            " bytes, as when it was opened, found ", size,
                                            ": the file was cut short while it was read");
        for (const char* name : {"third", "first", "second"}) {
            const Tensor numbers = to_f32(file.tensor(name));  // zeros where nothing is left
            CHECK(numbers.size() == 64 * 256);
            CHECK(error_of([&] { file.release(file.tensor(name)); }) == expected);
        }
        for (const TensorType type : {TensorType::q4_0, TensorType::f32})
            CHECK(error_of([&] { convert(file, folder / "out.gguf", type); }) == expected);
        CHECK(folder.files() == 1);  // no out.gguf, whole or in part
    }
}

TEST_CASE("gguf: a file that was cut short and grew again is an error if it was missed") {
    const Folder folder;
    const auto path = folder / "cut.gguf";
    three_tensors().write(path);
    const auto size = std::filesystem::file_size(path);
    const GgufFile file = GgufFile::open(path);
    file.release(file.tensor("third"));
    std::filesystem::resize_file(path, size / 4);
    CHECK(to_f32(file.tensor("third"))(63, 255) == 0.0f);
    std::filesystem::resize_file(path, size);
    CHECK(error_of([&] { file.release(file.tensor("third")); }).find("cut short") !=
          std::string::npos);
}

TEST_CASE("gguf: other files stay whole and are mapped again where one was cut short") {
    const Folder folder;
    for (int round = 0; round < 3; ++round) {
        const auto cut = folder / "cut.gguf", kept = folder / "kept.gguf";
        three_tensors().write(cut);
        three_tensors().write(kept);
        const GgufFile one = GgufFile::open(cut), other = GgufFile::open(kept);
        one.release(one.tensor("third"));
        std::filesystem::resize_file(cut, 10);
        to_f32(one.tensor("third"));
        CHECK(to_f32(other.tensor("third"))(63, 255) == 0.5f);
        CHECK_NOTHROW(other.release(other.tensor("third")));
        CHECK_THROWS_AS(one.release(one.tensor("third")), Error);
        CHECK_THROWS_AS(GgufFile::open(cut), Error);
    }
}

TEST_CASE("gguf: a bus error that is not of a model file still ends the program") {
    const Folder folder;
    three_tensors().write(folder / "model.gguf");
    const GgufFile file = GgufFile::open(folder / "model.gguf");  // the handler is there
    folder.write("other", std::vector<std::byte>(100000));
    std::FILE* const raw = std::fopen((folder / "other").c_str(), "r+");
    REQUIRE(raw != nullptr);
    const pid_t child = ::fork();
    if (child == 0) {
        void* const data = ::mmap(nullptr, 100000, PROT_READ, MAP_PRIVATE, ::fileno(raw), 0);
        if (::ftruncate(::fileno(raw), 0) != 0 || ::close(STDERR_FILENO) != 0) ::_exit(0);
        ::_exit(static_cast<const volatile char*>(data)[50000]);  // 0, if it could be read
    }
    int status = 0;
    CHECK(::waitpid(child, &status, 0) == child);
    // By the signal, or by a sanitizer that reports it.
    CHECK_FALSE((WIFEXITED(status) && WEXITSTATUS(status) == 0));
    std::fclose(raw);
}

TEST_CASE("convert: what cannot take the type takes no more room than it has") {
    GgufWriter writer;
    writer.add("fits", {2, 512}, std::vector<float>(1024, 0.25f));
    writer.add("plain", {2, 64}, std::vector<float>(128, 0.25f));
    const std::vector<float> values(128, 0.25f);
    for (const TensorType type : {TensorType::f16, TensorType::bf16, TensorType::q4_1,
                                  TensorType::q4_0, TensorType::q8_0}) {
        std::vector<std::byte> bytes(usize(bytes_for(type, 128)));
        quantize(type, values, bytes);
        writer.add(type_name(type), type, {2, 64}, bytes);
    }
    writer.add("odd", {2, 172}, std::vector<float>(344, 0.25f));
    writer.add("norm", {64}, std::vector<float>(64, 1.0f));
    const std::vector<std::byte> bytes = writer.to_bytes();
    const GgufFile in = GgufFile::parse(bytes, "in");
    const Folder folder;
    const ConvertReport report = convert(in, folder / "out.gguf", TensorType::q4_k);
    const GgufFile out = GgufFile::open(folder / "out.gguf");
    const std::vector<std::pair<std::string, TensorType>> expected = {
        {"plain", TensorType::q8_0}, {"F16", TensorType::q8_0},  {"BF16", TensorType::q8_0},
        {"Q4_1", TensorType::q4_1},  {"Q4_0", TensorType::q4_0}, {"Q8_0", TensorType::q8_0},
        {"odd", TensorType::f32}};
    REQUIRE(report.misfits.size() == expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
        CAPTURE(expected[i].first);
        CHECK(report.misfits[i].name == expected[i].first);
        CHECK(report.misfits[i].type == expected[i].second);
        CHECK(out.tensor(expected[i].first).type == expected[i].second);
    }
    CHECK(out.tensor("fits").type == TensorType::q4_k);
    CHECK(out.tensor("norm").type == TensorType::f32);
    const auto kept = out.tensor("Q4_1").bytes, was = in.tensor("Q4_1").bytes;
    CHECK(std::equal(kept.begin(), kept.end(), was.begin(), was.end()));
    CHECK(report.converted == 1);
    CHECK(report.vectors == 1);
    CHECK(report.by_type.at(TensorType::q8_0).tensors == 4);
    CHECK(report.by_type.at(TensorType::q8_0).bytes == 4 * 136);
    CHECK(report.by_type.at(TensorType::f32).bytes == 344 * 4 + 64 * 4);
    CHECK(out.metadata().get_u64("general.file_type") == 14);
    const std::string text = describe_conversion(in, "o", TensorType::q4_k, report);
    CHECK(text.find("made Q8_0: F16 [2, 64] (its row is not a multiple of 256)\n") !=
          std::string::npos);
    CHECK(text.find("kept as Q4_1: Q4_1 [2, 64]") != std::string::npos);
    CHECK(text.find("o: 1 matrices as Q4_K, 7 that cannot be, 1 vectors as F32\n"
                    "  F32: 2 tensors, 1632 bytes\n") != std::string::npos);
    CHECK(text.find("  Q4_K: 1 tensors, 576 bytes\n") != std::string::npos);
}

TEST_CASE("models: a folder of the name hides no model") {
    const Folder folder, here;
    folder.write("tiny.gguf", RawGguf().header(0, 0).bytes());
    const auto before = std::filesystem::current_path();
    std::filesystem::current_path(here / "");
    std::filesystem::create_directory("tiny");
    std::filesystem::create_directory("gone");
    CHECK(find_model("tiny", folder / "") == folder / "tiny.gguf");
    CHECK(
        error_of([&] {
            find_model("gone", folder / "");
        }).starts_with("model 'gone': expected a file, found a folder as given and none in "));
    std::filesystem::current_path(before);
    CHECK(error_of([&] {
              GgufFile::open(folder / "");
          }).find("expected a file, found a folder") != std::string::npos);
}

TEST_CASE("input: a folder is no text") {
    const Folder folder;
    folder.write("text", std::vector<std::byte>(3, std::byte{'a'}));
    std::string text;
    std::ifstream file = open_input(folder / "text");
    std::getline(file, text);
    CHECK(text == "aaa");
    CHECK(error_of([&] { open_input(folder / ""); }) ==
          (folder / "").string() + ": cannot be read: expected a file, found a folder");
    CHECK(error_of([&] { open_input(folder / "no"); }) ==
          (folder / "no").string() + ": cannot be read: No such file or directory");
}

TEST_CASE("tokenizer: a missing pre-tokenizer is a note and others are none") {
    Metadata metadata("f.gguf");
    CHECK(tokenizer_notes(metadata).empty());
    metadata.set("tokenizer.ggml.model", std::string("gpt2"));
    REQUIRE(tokenizer_notes(metadata).size() == 1);
    CHECK(
        tokenizer_notes(metadata)[0] ==
        "f.gguf: key 'tokenizer.ggml.pre': expected the name of a pre-tokenizer, found no such "
        "key; words are split as by 'gpt-2', which may not be this model's way");
    metadata.set("tokenizer.ggml.pre", std::string("smollm"));
    CHECK(tokenizer_notes(metadata).empty());
    metadata.erase("tokenizer.ggml.pre");
    metadata.set("tokenizer.ggml.model", std::string("llama"));
    CHECK(tokenizer_notes(metadata).empty());
}

TEST_SUITE_END();
