// The GGUF reader: what it accepts, and what it says about files that are wrong.
#include <doctest/doctest.h>

#include <algorithm>

#include <kvlab/weights/gguf_file.hpp>
#include <kvlab/weights/quantize.hpp>
#include "gguf_samples.hpp"
#include "weights_support.hpp"

using namespace kvlab;
using namespace kvlab::test;

TEST_SUITE_BEGIN("weights");

TEST_CASE("gguf: a file of the reference package is read to the last value") {
    const GgufFile file = GgufFile::open(KVLAB_TEST_DATA "/reference.gguf");
    CHECK(file.version() == 3);
    CHECK(file.alignment() == 32);
    CHECK(same_entries(file.metadata(), sample_writer().metadata()));
    REQUIRE(file.tensors().size() == 7);
    const std::vector<float> values = sample_values();
    for (const TensorInfo& info : file.tensors()) {
        CAPTURE(info.name);
        CHECK(file.find(info.name) == &info);
        if (info.name == "vector") continue;
        CHECK(info.shape == Shape({3, 64}));
        std::vector<std::byte> expected(info.bytes.size());
        quantize(info.type, values, expected);
        CHECK(std::equal(expected.begin(), expected.end(), info.bytes.begin()));
    }
    CHECK(to_f32(file.tensor("f32.weight"))(2, 63) == 2.0f + 63 * 0.25f);
    CHECK(to_f32(file.tensor("vector", {3}))(2) == 3.0f);
}

TEST_CASE("gguf: a tensor that was released reads the same again") {
    const GgufFile file = GgufFile::open(KVLAB_SOURCE_DIR "/weights/deep.gguf");
    for (const TensorInfo& info : file.tensors()) {
        const std::vector<std::byte> before(info.bytes.begin(), info.bytes.end());
        file.release(info);
        REQUIRE(std::equal(before.begin(), before.end(), info.bytes.begin()));
    }
}

TEST_CASE("gguf: extents are turned round and offsets count from the aligned data") {
    // ne = 4 columns, 3 rows, 2 matrices; the second tensor is first in the data.
    const auto bytes = RawGguf()
                           .header(2, 0)
                           .tensor("a", {4, 3, 2}, 0, 32)
                           .tensor("b", {2}, 0, 0)
                           .pad()
                           .number(1.0f)
                           .number(2.0f)
                           .pad()
                           .data(24 * 4)
                           .bytes();
    const GgufFile file = GgufFile::parse(bytes, "hand.gguf");
    CHECK(file.tensor("a").shape == Shape({2, 3, 4}));
    CHECK(file.tensor("a").bytes.size() == 96);
    CHECK(file.tensor("a").bytes.data() + 96 == bytes.data() + bytes.size());
    CHECK(to_f32(file.tensor("b"))(1) == 2.0f);
    CHECK(file.find("c") == nullptr);
}

TEST_CASE("gguf: version 2 and another alignment and no padding at the end are accepted") {
    const auto bytes = RawGguf()
                           .header(1, 1, 2)
                           .key("general.alignment", 4)
                           .number(std::uint32_t{64})
                           .tensor("t", {3}, 0, 64)
                           .pad(64)
                           .pad(64)
                           .data(64 + 12)
                           .bytes();
    const GgufFile file = GgufFile::parse(bytes, "v2.gguf");
    CHECK(file.version() == 2);
    CHECK(file.alignment() == 64);
    CHECK((file.tensor("t").bytes.data() - bytes.data()) % 64 == 0);
}

TEST_CASE("gguf: a file of metadata alone is accepted") {
    const auto bytes = RawGguf().header(0, 1).key("k", 7).number(std::uint8_t{1}).bytes();
    CHECK(GgufFile::parse(bytes, "vocab.gguf").metadata().get_bool("k"));
    CHECK(GgufFile::parse(RawGguf().header(0, 0).bytes(), "bare.gguf").tensors().empty());
}

namespace {

// The smallest file with everything in it, so that the next two cases can try every byte.
std::vector<std::byte> small_file() {
    std::vector<std::byte> bytes = sample_writer(1, 32).to_bytes();
    bytes.resize(bytes.size() - 20);  // the padding behind the 12 bytes of "vector"
    return bytes;
}

bool one_line_about(const std::string& message, const std::string& file) {
    return message.starts_with(file + ": ") && message.find('\n') == std::string::npos;
}

}  // namespace

TEST_CASE("gguf: truncated at every byte is an error") {
    const std::vector<std::byte> bytes = small_file();
    CHECK_NOTHROW(GgufFile::parse(bytes, "whole.gguf"));
    for (std::size_t length = 0; length < bytes.size(); ++length) {
        // A copy of exactly this length, so that a read past its end is seen by the sanitizer.
        const std::vector<std::byte> prefix(
            bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(length));
        const std::string message = error_of([&] { GgufFile::parse(prefix, "cut.gguf"); });
        if (!one_line_about(message, "cut.gguf")) FAIL("at " << length << ": " << message);
    }
}

TEST_CASE("gguf: any single wrong bit is an error or another valid file") {
    std::vector<std::byte> bytes = small_file();
    const std::byte *begin = bytes.data(), *end = begin + bytes.size();
    int accepted = 0;
    for (std::size_t i = 0; i < 8 * bytes.size(); ++i) {
        const auto bit = static_cast<std::byte>(1 << (i % 8));
        bytes[i / 8] ^= bit;
        try {
            const GgufFile file = GgufFile::parse(bytes, "flipped.gguf");
            ++accepted;
            for (const TensorInfo& info : file.tensors()) {
                const std::byte* last = info.bytes.data() + info.bytes.size();
                if (info.bytes.data() < begin || last > end) FAIL("outside, at bit " << i);
                to_f32(info);
            }
        } catch (const Error& error) {
            if (!one_line_about(error.what(), "flipped.gguf"))
                FAIL("at bit " << i << ": " << error.what());
        }
        bytes[i / 8] ^= bit;
    }
    CHECK(accepted > 0);  // a bit of a weight is just another weight
}

TEST_CASE("gguf: tensors are asked for by name and shape") {
    const GgufFile file = GgufFile::open(KVLAB_TEST_DATA "/reference.gguf");
    CHECK(error_of([&] { file.tensor("no.weight"); }) ==
          file.name() + ": tensor 'no.weight': expected in the file, found no such tensor");
    CHECK(error_of([&] {
              file.tensor("f32.weight", {64, 3});
          }) == file.name() + ": tensor 'f32.weight': expected shape [64, 3], found [3, 64]");
}

TEST_CASE("gguf: what is not a file cannot be opened") {
    CHECK(error_of([] { GgufFile::open("/nowhere/x.gguf"); }) ==
          "/nowhere/x.gguf: cannot open: No such file or directory");
    CHECK(error_of([] { GgufFile::open("/"); }) == "/: expected a file, found a folder");
    CHECK(error_of([] { GgufFile::open("/dev/zero"); }) ==
          "/dev/zero: expected a plain file, found something else");
    const Folder folder;
    folder.write("empty.gguf", {});
    CHECK(error_of([&] { GgufFile::open(folder / "empty.gguf"); }) ==
          (folder / "empty.gguf").string() + ": expected a GGUF file, found an empty one");
}

TEST_CASE("gguf: a moved file keeps its bytes") {
    std::vector<GgufFile> files;
    files.push_back(GgufFile::open(KVLAB_TEST_DATA "/reference.gguf"));
    const TensorInfo* before = files[0].find("vector");
    GgufFile moved = std::move(files[0]);
    files.clear();
    CHECK(moved.find("vector") == before);
    CHECK(to_f32(*before)(0) == 1.0f);
}

TEST_SUITE_END();
