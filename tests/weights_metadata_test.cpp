// Metadata: typed getters, and strings that come from files.
#include <doctest/doctest.h>

#include <limits>

#include <kvlab/tensor/text.hpp>
#include <kvlab/weights/metadata.hpp>
#include "weights_support.hpp"

using namespace kvlab;
using namespace kvlab::test;

TEST_SUITE_BEGIN("weights");

TEST_CASE("metadata: keys keep their order and are replaced in place") {
    Metadata m("m.gguf");
    m.set("b", 1u);
    m.set("a", 2u);
    m.set("c", "three");
    m.set("b", "one");
    m.erase("a");
    m.erase("nothing");
    REQUIRE(m.entries().size() == 2);
    CHECK(m.entries()[0].key == "b");
    CHECK(m.get_string("b") == "one");
    CHECK(m.get_string("c") == "three");
    CHECK_FALSE(m.contains("a"));
    const Metadata copy = m;
    m.set("c", "changed");
    CHECK(copy.get_string("c") == "three");
}

TEST_CASE("metadata: an integer of any type is read if it fits") {
    Metadata m("m.gguf");
    m.set("u8", std::uint8_t{200});
    m.set("i8", std::int8_t{-1});
    m.set("i16", std::int16_t{300});
    m.set("u64", std::numeric_limits<std::uint64_t>::max());
    m.set("f", 3.0f);
    m.set("t", true);
    CHECK(m.get_u64("u8") == 200);
    CHECK(m.get_index("i16") == 300);
    CHECK(m.get_u64("u64") == std::numeric_limits<std::uint64_t>::max());
    CHECK(error_of([&] { m.get_u64("i8"); }) ==
          "m.gguf: key 'i8': expected an integer, 0 or more, found i8 -1");
    CHECK(error_of([&] { m.get_index("u64"); }) ==
          "m.gguf: key 'u64': expected an integer from 0 to 2^63 - 1, found u64 "
          "18446744073709551615");
    CHECK(error_of([&] { m.get_u64("f"); }) ==
          "m.gguf: key 'f': expected an integer, 0 or more, found f32 3");
    CHECK(error_of([&] { m.get_u64("t"); }) ==
          "m.gguf: key 't': expected an integer, 0 or more, found bool true");
    CHECK(error_of([&] { m.get_u64("none"); }) ==
          "m.gguf: key 'none': expected an integer, 0 or more, found no such key");
}

TEST_CASE("metadata: the other getters take their own type only") {
    Metadata m("m.gguf");
    m.set("f", 0.5f);
    m.set("d", 0.5);
    m.set("n", 1u);
    m.set("s", "text");
    m.set("strings", std::vector<std::string>{"a", "b"});
    m.set("floats", std::vector<float>{1, 2});
    m.set("u64s", std::vector<std::uint64_t>{1, 2147483647});
    m.set("large", std::vector<std::uint32_t>{1, 2147483648u});
    CHECK(m.get_f32("f") == 0.5f);
    CHECK(m.get_strings("strings")[1] == "b");
    CHECK(m.get_f32s("floats")[1] == 2.0f);
    CHECK(m.get_i32s("u64s")[1] == 2147483647);
    CHECK(error_of([&] { m.get_f32("d"); }) ==
          "m.gguf: key 'd': expected an f32, found f64 0.5");
    CHECK(error_of([&] { m.get_bool("n"); }) ==
          "m.gguf: key 'n': expected a bool, found u32 1");
    CHECK(error_of([&] { m.get_string("strings"); }) ==
          "m.gguf: key 'strings': expected a string, found array of 2 string: 'a' 'b'");
    CHECK(error_of([&] { m.get_strings("s"); }) ==
          "m.gguf: key 's': expected an array of string, found string 'text'");
    CHECK(error_of([&] { m.get_i32s("large"); }) ==
          "m.gguf: key 'large': expected an array of integers that fit in 32 bits, found array "
          "of "
          "2 u32: 1 2147483648");
    CHECK(error_of([&] {
              m.get_i32s("floats");
          }).ends_with("fit in 32 bits, found array of 2 f32: 1 2"));
    CHECK(error_of([&] {
              m.get_f32s("u64s");
          }).ends_with("expected an array of f32, found array of 2 u64: 1 2147483647"));
}

TEST_CASE("metadata: a fallback is for missing keys and not for wrong ones") {
    Metadata m("m.gguf");
    m.set("k", "text");
    CHECK(m.get_u64_or("none", 7) == 7);
    CHECK(m.get_index_or("none", -1) == -1);
    CHECK(m.get_f32_or("none", 0.5f) == 0.5f);
    CHECK(m.get_bool_or("none", true));
    CHECK(m.get_string_or("none", "x") == "x");
    CHECK(m.get_string_or("k", "x") == "text");
    CHECK(m.get_strings_or("none", {"x"}).size() == 1);
    CHECK(m.get_i32s_or("none", {1, 2}).size() == 2);
    CHECK(m.get_f32s_or("none", {}).empty());
    CHECK_THROWS_AS(m.get_u64_or("k", 7), Error);
    CHECK_THROWS_AS(m.get_index_or("k", 7), Error);
    CHECK_THROWS_AS(m.get_f32_or("k", 7), Error);
    CHECK_THROWS_AS(m.get_bool_or("k", true), Error);
    CHECK_THROWS_AS(m.get_strings_or("k", {}), Error);
    CHECK_THROWS_AS(m.get_i32s_or("k", {}), Error);
    CHECK_THROWS_AS(m.get_f32s_or("k", {}), Error);
}

TEST_CASE("text: UTF-8 as the Unicode standard draws it") {
    constexpr auto good = std::string_view::npos;
    for (const char* text :
         {"", "abc", "\x7f", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf",
          "\xee\x80\x80", "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"})
        CHECK(find_bad_utf8(text) == good);
    for (const char* text :
         {"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc2", "\xc2\x41", "\xc2\xc2",
          "\xe0\x9f\xbf", "\xe2\x82", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf0\x9f\x98",
          "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xfe", "\xff"}) {
        CAPTURE(quote(text));
        CHECK(find_bad_utf8(text) == 0);
        CHECK(find_bad_utf8(std::string("\xe2\x82\xac") + text) == 3);
    }
    CHECK(find_bad_utf8(std::string_view("a\0b", 3)) == good);
}

TEST_CASE("text: a quoted text is one line of UTF-8") {
    CHECK(quote("plain \xe2\x82\xac") == "'plain \xe2\x82\xac'");
    CHECK(quote("a\n'\\\x7f\x1b") == "'a\\x0a\\x27\\x5c\\x7f\\x1b'");
    CHECK(quote(std::string_view("\0\xff", 2)) == "'\\x00\\xff'");
    CHECK(quote("abcdef", 3) == "'abc...'");
    CHECK(quote("ab\xe2\x82\xac", 3) == "'ab...'");  // a character is not cut in two
    CHECK(quote("abc", 3) == "'abc'");
}

TEST_SUITE_END();
