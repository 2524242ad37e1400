// Files that are wrong on purpose: each must be refused with one line that says where and why.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include <kvlab/weights/gguf_file.hpp>
#include "gguf_samples.hpp"
#include "weights_support.hpp"

using namespace kvlab;
using namespace kvlab::test;

TEST_SUITE_BEGIN("weights");

namespace {

struct Hostile {
    const char* what;
    std::vector<std::byte> bytes;
    const char* message;  // behind "bad.gguf: "
};

RawGguf raw() {
    return {};
}

const std::uint64_t kHuge = ~std::uint64_t{0};
const std::uint64_t kHalf = std::uint64_t{1} << 63;

std::vector<Hostile> hostile_headers_and_keys() {
    const std::string bad_utf8 = "a\xff";
    return {
        {"empty", {}, "magic: expected 4 bytes at byte 0, found 0 before the end of the file"},
        {"zip file", raw().text(std::string("PK\3\4", 4)).bytes(),
         "magic: expected 'GGUF', found 'PK\\x03\\x04'"},
        {"version 1", raw().header(0, 0, 1).bytes(), "version: expected 2 or 3, found 1"},
        {"version 0", raw().header(0, 0, 0).bytes(), "version: expected 2 or 3, found 0"},
        {"big-endian", raw().header(0, 0, 0x03000000).bytes(),
         "version: expected a little-endian file, found a big-endian one"},
        {"huge tensor count", raw().header(kHuge, 0).bytes(),
         "tensor count: expected at most 0 (the file ends after that), found "
         "18446744073709551615"},
        {"huge key count", raw().header(0, kHalf).bytes(),
         "key count: expected at most 0 (the file ends after that), found 9223372036854775808"},
        {"key without a name", raw().header(0, 1).key("", 0).data(9).bytes(),
         "key 0 name: expected a length of 1 to 65535, found 0"},
        {"key too long", raw().header(0, 1).key(std::string(65536, 'k'), 0).data(9).bytes(),
         "key 0 name: expected a length of 1 to 65535, found 65536"},
        {"key of huge length", raw().header(0, 1).number(kHuge).data(9).bytes(),
         "key 0 name: expected at most 9 (the file ends after that), found "
         "18446744073709551615"},
        {"key not UTF-8", raw().header(0, 1).key(bad_utf8, 0).data(9).bytes(),
         "key 0 name: expected UTF-8, found 'a\\xff', wrong at byte 1"},
        {"key twice",
         raw().header(0, 2).key("k", 7).data(0).number('\1').key("k", 7).data(1).bytes(),
         "key 'k': expected once, found again as key 1"},
        {"value type 13", raw().header(0, 1).key("k", 13).data(9).bytes(),
         "key 'k' type: expected 0 to 12, found 13"},
        {"bool of 2", raw().header(0, 1).key("k", 7).number('\2').bytes(),
         "key 'k' value: expected a bool, 0 or 1, found 2"},
        {"string not UTF-8", raw().header(0, 1).key("k", 8).string("\xc0\x80").bytes(),
         "key 'k' value: expected UTF-8, found '\\xc0\\x80', wrong at byte 0"},
        {"token not UTF-8",
         raw()
             .header(0, 1)
             .key("k", 9)
             .number(8u)
             .number(std::uint64_t{2})
             .string("ok")
             .string(bad_utf8)
             .bytes(),
         "key 'k' value: expected UTF-8, found 'a\\xff', wrong at byte 1"},
        {"array of arrays",
         raw().header(0, 1).key("k", 9).number(9u).number(std::uint64_t{1}).data(20).bytes(),
         "key 'k' element type: expected 0 to 12 but not 9 (an array), found 9"},
        {"array of type 99",
         raw().header(0, 1).key("k", 9).number(99u).number(std::uint64_t{1}).data(20).bytes(),
         "key 'k' element type: expected 0 to 12 but not 9 (an array), found 99"},
        {"array one too long",
         raw().header(0, 1).key("k", 9).number(4u).number(std::uint64_t{6}).data(23).bytes(),
         "key 'k' element count: expected at most 5 (the file ends after that), found 6"},
        {"array of 2^62 u32",
         raw().header(0, 1).key("k", 9).number(4u).number(kHalf >> 1).data(24).bytes(),
         "key 'k' element count: expected at most 6 (the file ends after that), found "
         "4611686018427387904"},
        {"alignment 0", raw().header(0, 1).key("general.alignment", 4).number(0u).bytes(),
         "key 'general.alignment': expected u32, a power of two from 8 to 65536, found u32 0"},
        {"alignment 48", raw().header(0, 1).key("general.alignment", 4).number(48u).bytes(),
         "key 'general.alignment': expected u32, a power of two from 8 to 65536, found u32 48"},
        {"alignment 2^31",
         raw().header(0, 1).key("general.alignment", 4).number(1u << 31).bytes(),
         "key 'general.alignment': expected u32, a power of two from 8 to 65536, found u32 "
         "2147483648"},
        {"alignment as text",
         raw().header(0, 1).key("general.alignment", 8).string("32").bytes(),
         "key 'general.alignment': expected u32, a power of two from 8 to 65536, found string "
         "'32'"},
    };
}

std::vector<Hostile> hostile_tensors() {
    return {
        {"tensor without a name",
         raw().header(1, 0).tensor("", {8}, 0, 0).pad().data(32).bytes(),
         "tensor 0 name: expected a length of 1 to 63, found 0"},
        {"name too long",
         raw().header(1, 0).tensor(std::string(64, 'n'), {8}, 0, 0).pad().data(32).bytes(),
         "tensor 0 name: expected a length of 1 to 63, found 64"},
        {"name twice",
         raw()
             .header(2, 0)
             .tensor("t", {8}, 0, 0)
             .tensor("t", {8}, 0, 32)
             .pad()
             .data(64)
             .bytes(),
         "tensor 't': expected once, found again as tensor 1"},
        {"line break in a name",
         raw().header(1, 0).tensor("a\nb", {8}, 99, 0).pad().data(32).bytes(),
         "tensor 'a\\x0ab' type: expected F32 (0), F16 (1), BF16 (30), Q8_0 (8), Q4_0 (2), "
         "Q4_1 "
         "(3) or Q4_K (12), found unknown (99)"},
        {"no dimension", raw().header(1, 0).tensor("t", {}, 0, 0).pad().data(32).bytes(),
         "tensor 't' n_dims: expected 1 to 4, found 0"},
        {"five dimensions",
         raw().header(1, 0).tensor("t", {1, 1, 1, 1, 8}, 0, 0).pad().data(32).bytes(),
         "tensor 't' n_dims: expected 1 to 4, found 5"},
        {"extent 0", raw().header(1, 0).tensor("t", {8, 0}, 0, 0).pad().data(32).bytes(),
         "tensor 't' extent 1: expected 1 or more and fewer than 2^59 numbers in all, found 0"},
        {"extent 2^64-1", raw().header(1, 0).tensor("t", {kHuge}, 0, 0).pad().data(32).bytes(),
         "tensor 't' extent 0: expected 1 or more and fewer than 2^59 numbers in all, found "
         "18446744073709551615"},
        // 2^32 * 2^32 is 0 in 64 bits.
        {"product overflows",
         raw().header(1, 0).tensor("t", {1ull << 32, 1ull << 32}, 0, 0).pad().data(32).bytes(),
         "tensor 't' extent 1: expected 1 or more and fewer than 2^59 numbers in all, found "
         "4294967296"},
        {"2^50 numbers in a small file",
         raw().header(1, 0).tensor("t", {1ull << 50}, 0, 0).pad().data(32).bytes(),
         "tensor 't': expected 4503599627370496 bytes of data at offset 0, found 32 bytes of "
         "tensor data in the file"},
        {"Q6_K", raw().header(1, 0).tensor("t", {256}, 14, 0).pad().data(210).bytes(),
         "tensor 't' type: expected F32 (0), F16 (1), BF16 (30), Q8_0 (8), Q4_0 (2), Q4_1 (3) "
         "or Q4_K (12), found Q6_K (14)"},
        // 128 x 2 numbers are one whole block, but no row is.
        {"rows of half a block of Q4_K",
         raw().header(1, 0).tensor("t", {128, 2}, 12, 0).pad().data(144).bytes(),
         "tensor 't': expected rows of a multiple of 256 numbers for Q4_K, found rows of 128"},
        {"a byte too few for Q4_K",
         raw().header(1, 0).tensor("t", {256}, 12, 0).pad().data(143).bytes(),
         "tensor 't': expected 144 bytes of data at offset 0, found 143 bytes of tensor data "
         "in "
         "the file"},
        // 48 x 2 numbers are three whole blocks, but no row is.
        {"row not of whole blocks",
         raw().header(1, 0).tensor("t", {48, 2}, 8, 0).pad().data(102).bytes(),
         "tensor 't': expected rows of a multiple of 32 numbers for Q8_0, found rows of 48"},
        {"offset not aligned",
         raw().header(1, 0).tensor("t", {8}, 0, 16).pad().data(64).bytes(),
         "tensor 't' offset: expected a multiple of 32, found 16"},
        {"offset behind the end",
         raw().header(1, 0).tensor("t", {8}, 0, 64).pad().data(32).bytes(),
         "tensor 't': expected 32 bytes of data at offset 64, found 32 bytes of tensor data in "
         "the "
         "file"},
        // offset + size would be 0 in 64 bits.
        {"offset overflows",
         raw().header(1, 0).tensor("t", {8}, 0, kHuge - 31).pad().data(32).bytes(),
         "tensor 't': expected 32 bytes of data at offset 18446744073709551584, found 32 bytes "
         "of "
         "tensor data in the file"},
        {"data one byte short",
         raw().header(1, 0).tensor("t", {8}, 0, 0).pad().data(31).bytes(),
         "tensor 't': expected 32 bytes of data at offset 0, found 31 bytes of tensor data in "
         "the "
         "file"},
        {"same data twice",
         raw()
             .header(2, 0)
             .tensor("a", {8}, 0, 32)
             .tensor("b", {8}, 0, 32)
             .pad()
             .data(64)
             .bytes(),
         nullptr},
        {"overlap by a part",
         raw()
             .header(2, 0)
             .tensor("a", {9}, 0, 0)
             .tensor("b", {8}, 0, 32)
             .pad()
             .data(64)
             .bytes(),
         "tensor 'b' offset: expected data of its own, found that of 'a'"},
        {"padding ends early", raw().header(1, 0).tensor("t", {8}, 0, 0).data(1).bytes(),
         "padding before the tensor data: expected 7 bytes at byte 57, found 1 before the end "
         "of "
         "the file"},
        {"one tensor more than counted",
         raw()
             .header(1, 0)
             .tensor("t", {8}, 0, 0)
             .tensor("u", {8}, 0, 32)
             .pad()
             .data(64)
             .bytes(),
         "padding before the tensor data: expected zeros (is a count in the header too "
         "small?), "
         "found 1"},
    };
}

void check_all(const std::vector<Hostile>& files) {
    for (const Hostile& file : files) {
        CAPTURE(std::string(file.what));
        const std::string message = error_of([&] { GgufFile::parse(file.bytes, "bad.gguf"); });
        if (file.message)
            CHECK(message == std::string("bad.gguf: ") + file.message);
        else
            CHECK(message.starts_with("bad.gguf: tensor '"));
    }
}

}  // namespace

TEST_CASE("gguf: hostile headers and keys get one clear line each") {
    check_all(hostile_headers_and_keys());
}

TEST_CASE("gguf: hostile tensors get one clear line each") {
    check_all(hostile_tensors());
}

TEST_SUITE_END();
