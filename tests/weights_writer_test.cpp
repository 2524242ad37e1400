// The GGUF writer, files that appear whole or not at all, and conversion.
#include <doctest/doctest.h>

#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <csignal>

#include <kvlab/weights/convert.hpp>
#include <kvlab/weights/gguf_file.hpp>
#include <kvlab/weights/model_path.hpp>
#include <kvlab/weights/quantize.hpp>
#include "gguf_samples.hpp"
#include "weights_support.hpp"

using namespace kvlab;
using namespace kvlab::test;

TEST_SUITE_BEGIN("weights");

TEST_CASE("writer: the same bytes as the reference package") {
    CHECK(sample_writer().to_bytes() == read_file(KVLAB_TEST_DATA "/reference.gguf"));
}

TEST_CASE("writer: what is written is read back") {
    const Folder folder;
    GgufWriter writer = sample_writer();
    writer.metadata().set("general.alignment", 128u);
    writer.metadata().set("empty", std::vector<std::uint16_t>{});
    writer.metadata().set("doubles", std::vector<double>{0.1, -1e300});
    writer.metadata().set("u64s", std::vector<std::uint64_t>{1ull << 63});
    writer.add("cube", {2, 3, 4}, std::vector<float>(24, 7.0f));
    writer.add("one", {1, 1, 1, 1}, std::vector<float>{-0.0f});
    writer.write(folder / "x.gguf");
    const GgufFile file = GgufFile::open(folder / "x.gguf");
    CHECK(file.alignment() == 128);
    CHECK(same_entries(file.metadata(), writer.metadata()));
    CHECK(file.tensors().size() == 9);
    CHECK(file.tensor("cube").shape == Shape({2, 3, 4}));
    CHECK(to_f32(file.tensor("cube"))(1, 2, 3) == 7.0f);
    CHECK(std::signbit(to_f32(file.tensor("one"))(0, 0, 0, 0)));
    CHECK(read_file(folder / "x.gguf") == writer.to_bytes());
    CHECK(folder.files() == 1);
}

TEST_CASE("writer: wrong tensors are refused at the door and leave the writer usable") {
    GgufWriter writer;
    const std::vector<float> eight(8);
    writer.add("t", {8}, eight);
    const auto add = [&](const char* name, TensorType type, Shape shape, std::size_t bytes) {
        return error_of([&] { writer.add(name, type, shape, std::vector<std::byte>(bytes)); });
    };
    CHECK(add("t", TensorType::f32, {8}, 32) ==
          "gguf writer: tensor 't': expected once, found again");
    CHECK(add("", TensorType::f32, {8}, 32) ==
          "gguf writer: tensor '' name: expected a length of 1 to 63, found 0");
    CHECK(add("\x80", TensorType::f32, {8}, 32) ==
          "gguf writer: tensor '\\x80' name: expected UTF-8, found '\\x80', wrong at byte 0");
    CHECK(add("u", TensorType::f32, {8}, 31) ==
          "gguf writer: tensor 'u': expected 32 bytes, found 31");
    CHECK(add("u", TensorType::f32, {}, 4) ==
          "gguf writer: tensor 'u': expected a rank of 1 to 4 and no extent of 0, found []");
    CHECK(
        add("u", TensorType::f32, {0, 4}, 0) ==
        "gguf writer: tensor 'u': expected a rank of 1 to 4 and no extent of 0, found [0, 4]");
    CHECK(add("u", TensorType::q4_0, {2, 48}, 54) ==
          "gguf writer: tensor 'u': expected rows of a multiple of 32 numbers for Q4_0, found "
          "rows of 48");
    CHECK(add("u", TensorType::q4_0, {3, 32}, 54) == "no error");
    CHECK(GgufFile::parse(writer.to_bytes(), "two").tensors().size() == 2);
}

TEST_CASE("writer: wrong metadata is refused and no file is left") {
    const Folder folder;
    const auto attempt = [&](const char* key, MetaValue value) {
        GgufWriter writer;
        writer.metadata().set(key, std::move(value));
        const std::string message = error_of([&] { writer.write(folder / "x.gguf"); });
        CHECK(folder.files() == 0);
        return message.substr(message.find("x.gguf: ") + 8);
    };
    CHECK(attempt("k", "\xff") == "key 'k': expected UTF-8, found '\\xff', wrong at byte 0");
    CHECK(attempt("k", std::vector<std::string>{"a", "\xff"}) ==
          "key 'k': expected UTF-8, found '\\xff', wrong at byte 0");
    CHECK(attempt("", 1u) == "key '' name: expected a length of 1 to 65535, found 0");
    CHECK(attempt("k", MetaArray(std::monostate{})) ==
          "key 'k': expected an array with a type, found none");
    CHECK(attempt("general.alignment", 7u) ==
          "key 'general.alignment': expected u32, a power of two from 8 to 65536, found u32 7");
    CHECK(
        attempt("general.alignment", 32) ==
        "key 'general.alignment': expected u32, a power of two from 8 to 65536, found i32 32");
}

TEST_CASE("writer: a tensor made while writing must have its size") {
    const Folder folder;
    for (std::size_t bytes : {0u, 31u, 33u}) {
        GgufWriter writer;
        writer.add("t", TensorType::f32, {8},
                   [&](const auto& put) { put(std::vector<std::byte>(bytes)); });
        const std::string message = error_of([&] { writer.write(folder / "x.gguf"); });
        CAPTURE(message);
        CHECK(message.find("tensor 't': expected 32 bytes, found ") != std::string::npos);
        CHECK(folder.files() == 0);
    }
}

namespace {

// While it lives, no file may grow past `bytes`: a full disk that needs no disk.
class FullDisk {
public:
    explicit FullDisk(rlim_t bytes) {
        ::getrlimit(RLIMIT_FSIZE, &before_);
        handler_ = std::signal(SIGXFSZ, SIG_IGN);
        const rlimit small{bytes, before_.rlim_max};
        REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
    }

    FullDisk(const FullDisk&) = delete;
    FullDisk& operator=(const FullDisk&) = delete;

    ~FullDisk() {
        ::setrlimit(RLIMIT_FSIZE, &before_);
        std::signal(SIGXFSZ, handler_);
    }

private:
    rlimit before_{};
    void (*handler_)(int) = nullptr;
};

}  // namespace

TEST_CASE("writer: a full disk is an error and leaves the old file") {
    const Folder folder;
    const auto before = RawGguf().header(0, 0).bytes();
    folder.write("x.gguf", before);
    std::string message;
    {
        const FullDisk limit(1000);
        message = error_of([&] { sample_writer().write(folder / "x.gguf"); });
    }
    CHECK(message ==
          (folder / "x.gguf").string() + ": cannot write after 1000 bytes: File too large");
    CHECK(read_file(folder / "x.gguf") == before);
    CHECK(folder.files() == 1);
    sample_writer().write(folder / "x.gguf");
    CHECK(read_file(folder / "x.gguf") == sample_writer().to_bytes());
}

TEST_CASE("writer: unwritable targets are errors and links are followed") {
    const Folder folder;
    CHECK(error_of([&] { sample_writer().write(folder / "no/x.gguf"); }) ==
          (folder / "no/x.gguf").string() + ": cannot write: No such file or directory");
    CHECK(error_of([&] {
              sample_writer().write(folder / "");
          }).ends_with(": cannot write: expected a file, found a folder"));
    sample_writer().write("/dev/null");
    CHECK(std::filesystem::is_character_file("/dev/null"));
    folder.write("target.gguf", {});
    std::filesystem::create_symlink("target.gguf", folder / "link.gguf");
    sample_writer().write(folder / "link.gguf");
    CHECK(std::filesystem::is_symlink(folder / "link.gguf"));
    CHECK(read_file(folder / "target.gguf") == sample_writer().to_bytes());
}

TEST_CASE("convert: matrices change and vectors and odd rows stay F32 and are listed") {
    const Folder folder;
    GgufWriter writer = sample_writer();
    writer.add("odd.weight", {2, 172}, std::vector<float>(344, 0.3f));
    writer.add("stack", {2, 3, 32}, std::vector<float>(192, 0.5f));
    writer.metadata().set("general.file_type", 0u);
    writer.write(folder / "in.gguf");
    const GgufFile in = GgufFile::open(folder / "in.gguf");
    const ConvertReport report = convert(in, folder / "out.gguf", TensorType::q4_0);
    CHECK(report.converted == 7);
    CHECK(report.vectors == 1);
    REQUIRE(report.misfits.size() == 1);
    CHECK(report.misfits[0].name == "odd.weight");
    CHECK(report.misfits[0].type == TensorType::f32);
    const GgufFile out = GgufFile::open(folder / "out.gguf");
    CHECK(out.metadata().get_u64("general.file_type") == 2);
    CHECK(out.metadata().get_u64("general.quantization_version") == 2);
    CHECK(out.metadata().get_string("string") == in.metadata().get_string("string"));
    CHECK(out.tensor("vector").type == TensorType::f32);
    CHECK(out.tensor("odd.weight").type == TensorType::f32);
    CHECK(out.tensor("stack", {2, 3, 32}).type == TensorType::q4_0);
    Index bytes = 0;
    for (const TensorInfo& info : out.tensors()) bytes += std::ssize(info.bytes);
    CHECK(report.bytes_out == bytes);
    for (const char* name : {"f32.weight", "q4_0.weight", "q4_1.weight"}) {
        const Tensor values = to_f32(in.tensor(name));
        std::vector<std::byte> expected(108);
        quantize(TensorType::q4_0, values.flat(), expected);
        const auto found = out.tensor(name).bytes;
        CHECK(std::equal(expected.begin(), expected.end(), found.begin(), found.end()));
    }
}

TEST_CASE("convert: the file's type is that of most of its numbers") {
    GgufWriter writer;
    writer.add("wide", {8, 512}, std::vector<float>(4096, 0.25f));
    writer.add("narrow", {2, 64}, std::vector<float>(128, 0.25f));
    const std::vector<std::byte> bytes = writer.to_bytes();
    const Folder folder;
    convert(GgufFile::parse(bytes, "in"), folder / "out.gguf", TensorType::q4_k);
    CHECK(GgufFile::open(folder / "out.gguf").metadata().get_u64("general.file_type") == 14);
    writer.add("more", {64, 64}, std::vector<float>(4096, 0.25f));
    const std::vector<std::byte> mixed = writer.to_bytes();
    convert(GgufFile::parse(mixed, "in"), folder / "out.gguf", TensorType::q4_k);
    CHECK(GgufFile::open(folder / "out.gguf").metadata().get_u64("general.file_type") == 7);
    // As many numbers that cannot take the type as can: it is the wanted one's.
    const std::vector<float> values(256, 0.25f);
    std::vector<std::byte> kept(usize(bytes_for(TensorType::bf16, 256)));
    quantize(TensorType::bf16, values, kept);
    GgufWriter halves;
    halves.add("taken", {8, 32}, values);
    halves.add("kept", TensorType::bf16, {16, 16}, kept);
    const std::vector<std::byte> even = halves.to_bytes();
    convert(GgufFile::parse(even, "in"), folder / "even.gguf", TensorType::q4_0);
    CHECK(GgufFile::open(folder / "even.gguf").tensor("kept").type == TensorType::bf16);
    CHECK(GgufFile::open(folder / "even.gguf").metadata().get_u64("general.file_type") == 2);
    const std::vector<std::byte> none = GgufWriter().to_bytes();
    convert(GgufFile::parse(none, "in"), folder / "none.gguf", TensorType::q8_0);
    CHECK(GgufFile::open(folder / "none.gguf").metadata().get_u64("general.file_type") == 7);
}

TEST_CASE("convert: to F32 and over itself and with values that do not fit") {
    const Folder folder;
    GgufWriter writer;
    writer.metadata().set("general.quantization_version", 2u);
    writer.add("big", {1, 32}, std::vector<float>(32, 1e6f));
    writer.write(folder / "x.gguf");
    const auto before = read_file(folder / "x.gguf");
    {
        const GgufFile in = GgufFile::open(folder / "x.gguf");
        CHECK(error_of([&] { convert(in, folder / "x.gguf", TensorType::f16); }) ==
              in.name() +
                  ": tensor 'big' from number 0: quantize F16: the f16 number 1e+06 is too "
                  "large (at most 65504)");
        CHECK(read_file(folder / "x.gguf") == before);
        convert(in, folder / "x.gguf", TensorType::f32);
    }
    const GgufFile out = GgufFile::open(folder / "x.gguf");
    CHECK_FALSE(out.metadata().contains("general.quantization_version"));
    CHECK(to_f32(out.tensor("big"))(0, 31) == 1e6f);
    CHECK(folder.files() == 1);
}

TEST_CASE("models: found as given and by name") {
    const Folder folder;
    const auto some = RawGguf().header(0, 0).bytes();
    folder.write("here.gguf", some);
    std::filesystem::create_directory(folder / "downloads");
    folder.write("downloads/far.gguf", some);
    const std::filesystem::path weights = folder / "";
    CHECK(find_model((folder / "here.gguf").string(), "") == folder / "here.gguf");
    CHECK(find_model("here.gguf", weights) == folder / "here.gguf");
    CHECK(find_model("here", weights) == folder / "here.gguf");
    CHECK(find_model("far", weights) == folder / "downloads/far.gguf");
    CHECK(error_of([&] {
              find_model("gone", weights);
          }).starts_with("model 'gone': expected a file, found none as given and none in "));
}

TEST_SUITE_END();
