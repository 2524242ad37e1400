#include <kvlab/serving/cache_file.hpp>

#include <algorithm>
#include <cstring>
#include <functional>

#include <kvlab/serving/saved_pages.hpp>
#include <kvlab/tensor/text.hpp>
#include <kvlab/weights/input_file.hpp>

#include "byte_sum.hpp"

namespace kvlab {

namespace {

constexpr std::string_view kCacheMagic = "kvlabkv1";  // the last character is the version
constexpr Index kLongestText = 255;                   // of the file's two

using PutBytes = std::function<void(std::span<const std::byte>)>;

// Writes the file's parts, and in the end their checksum.
class CacheWriter {
public:
    explicit CacheWriter(const PutBytes& put) : put_(put) {}

    void bytes(std::span<const std::byte> bytes) {
        sum_.add(bytes);
        put_(bytes);
    }

    template <class T>
    void number(T value) {
        bytes(std::as_bytes(std::span(&value, 1)));
    }

    void text(const std::string& text) {
        check(std::ssize(text) <= kLongestText, "cache file: expected a name of at most ",
              kLongestText, " bytes, found ", text.size());
        number(std::ssize(text));
        bytes(std::as_bytes(std::span(text)));
    }

    void checksum() { number(sum_.value()); }

private:
    const PutBytes& put_;
    ByteSum sum_;
};

// The numbers that the pages of a file and of a pool must have in common.
struct CacheNumber {
    const char* name;
    Index value;
};

std::vector<CacheNumber> numbers_of(const PagePool& pool) {
    const KvShape& shape = pool.shape();
    return {{"layers", shape.layers},
            {"heads", shape.heads},
            {"kv_heads", shape.kv_heads},
            {"head_dim", shape.head_dim},
            {"page_slots", pool.page_slots()}};
}

Index bytes_of_pages(const PagePool& pool, Index tokens) {
    return pool.pages_for(tokens) * pool.page_bytes();
}

void write_cache(const CacheOrigin& origin,
                 std::span<const Token> tokens,
                 const PagedCache& cache,
                 const PutBytes& put) {
    const Index n = std::ssize(tokens);
    check(n >= 1 && n == cache.next_position(), "cache file: ", n,
          " tokens for a cache that has ", cache.next_position());
    CacheWriter to(put);
    to.bytes(std::as_bytes(std::span(kCacheMagic)));
    to.number(origin.model);
    to.text(origin.name);
    to.number(origin.vocab);
    to.text(origin.format);
    for (const CacheNumber& number : numbers_of(cache.pool())) to.number(number.value);
    to.number(n);
    to.bytes(std::as_bytes(tokens));
    to.number(bytes_of_pages(cache.pool(), n));
    visit_pages(cache, [&](std::span<std::byte> piece) { to.bytes(piece); });
    to.checksum();
}

// Takes the file's parts one after the other, and refuses by name what is not there.
class CacheReader {
public:
    CacheReader(std::span<const std::byte> bytes, const std::string& name)
        : bytes_(bytes), name_(name) {}

    template <class... Parts>
    void expect(bool ok, const Parts&... parts) const {
        check(ok, name_, ": ", parts...);
    }

    Index left() const { return std::ssize(bytes_); }

    std::span<const std::byte> bytes(Index count, const char* field) {
        expect(count >= 0 && count <= std::ssize(bytes_), field, ": expected ", count,
               " more bytes, found ", bytes_.size(), " before the end");
        const auto taken = bytes_.first(usize(count));
        bytes_ = bytes_.subspan(usize(count));
        return taken;
    }

    template <class T = Index>
    T number(const char* field) {
        T value;
        std::memcpy(&value, bytes(sizeof value, field).data(), sizeof value);
        return value;
    }

    std::string text(const char* field) {
        const Index length = number(field);
        expect(length >= 0 && length <= kLongestText, field, ": expected at most ",
               kLongestText, " bytes, found ", length);
        const auto from = bytes(length, field);
        return {reinterpret_cast<const char*>(from.data()), from.size()};
    }

    void expect_number(const char* field, Index expected) {
        const Index found = number(field);
        expect(found == expected, field, ": expected ", expected, ", found ", found);
    }

private:
    std::span<const std::byte> bytes_;
    const std::string& name_;
};

// ANCHOR: check
// First what it is, then whether it is whole, then whose it is: a damaged file is not taken for
// one of another model. Returns the part behind the magic.
CacheReader whole_cache(std::span<const std::byte> bytes, const std::string& name) {
    CacheReader all(bytes, name);
    const auto magic = std::as_bytes(std::span(kCacheMagic));
    all.expect(bytes.size() >= magic.size() &&
                   std::equal(magic.begin(), magic.end() - 1, bytes.begin()),
               "expected a file of a kvlab cache, found another one");
    all.expect(bytes[magic.size() - 1] == magic.back(), "version: expected ",
               kCacheMagic.back(), ", found another one");
    const Index last = std::ssize(bytes) - Index{sizeof(std::uint64_t)};
    all.expect(last >= std::ssize(magic), "is cut off");
    ByteSum sum;
    sum.add(bytes.first(usize(last)));
    std::uint64_t kept = 0;
    std::memcpy(&kept, bytes.data() + last, sizeof kept);
    all.expect(sum.value() == kept, "is damaged or cut off: expected the checksum ",
               hex64(kept), ", found ", hex64(sum.value()));
    CacheReader fields(bytes.first(usize(last)), name);
    fields.bytes(std::ssize(magic), "magic");
    return fields;
}

void check_origin(CacheReader& from, const CacheOrigin& origin) {
    const auto model = from.number<std::uint64_t>("model");
    const std::string name = from.text("name");
    from.expect(model == origin.model, "is of another model: expected ", quote(origin.name),
                " with the fingerprint ", hex64(origin.model), ", found ", quote(name),
                " with ", hex64(model));
    from.expect_number("vocabulary", origin.vocab);
    const std::string format = from.text("format");
    from.expect(format == origin.format, "format: expected ", quote(origin.format), ", found ",
                quote(format));
}

// ANCHOR_END: check

void check_begins(const std::string& name, const PagedCache& empty) {
    check(empty.next_position() == 0, name, ": begins a text, and the cache has ",
          empty.next_position(), " tokens");
}

std::vector<Token> read_tokens(CacheReader& from, const CacheOrigin& origin, Index most) {
    const Index n = from.number("tokens");
    from.expect(n >= 1 && n <= most, "tokens: expected 1 to ", most, ", found ", n);
    std::vector<Token> tokens(usize(n));
    const auto bytes = from.bytes(n * Index{sizeof(Token)}, "tokens");
    std::memcpy(tokens.data(), bytes.data(), bytes.size());
    for (const Token token : tokens)
        from.expect(token >= 0 && token < origin.vocab, "tokens: expected 0 to ",
                    origin.vocab - 1, ", found ", token);
    return tokens;
}

}  // namespace

std::vector<std::byte> cache_to_bytes(const CacheOrigin& origin,
                                      std::span<const Token> tokens,
                                      const PagedCache& cache) {
    std::vector<std::byte> all;
    write_cache(origin, tokens, cache, [&](std::span<const std::byte> bytes) {
        all.insert(all.end(), bytes.begin(), bytes.end());
    });
    return all;
}

std::vector<Token> cache_from_bytes(std::span<const std::byte> bytes,
                                    const std::string& name,
                                    const CacheOrigin& origin,
                                    PagedCache& empty) {
    check_begins(name, empty);
    CacheReader from = whole_cache(bytes, name);
    check_origin(from, origin);
    for (const CacheNumber& number : numbers_of(empty.pool()))
        from.expect_number(number.name, number.value);
    std::vector<Token> tokens = read_tokens(from, origin, empty.room());
    const Index size = bytes_of_pages(empty.pool(), std::ssize(tokens));
    from.expect_number("bytes of pages", size);
    const std::span<const std::byte> pages = from.bytes(size, "pages");
    from.expect(from.left() == 0, "expected the end, found ", from.left(), " more bytes");
    fill_pages(empty, std::ssize(tokens), pages);
    return tokens;
}

void save_cache(OutputFile& file,
                const CacheOrigin& origin,
                std::span<const Token> tokens,
                const PagedCache& cache) {
    write_cache(origin, tokens, cache,
                [&](std::span<const std::byte> bytes) { file.write(bytes); });
    file.commit();
}

std::vector<Token> load_cache(const std::filesystem::path& path,
                              const CacheOrigin& origin,
                              PagedCache& empty) {
    check_begins(path.string(), empty);
    std::ifstream file = open_input(path);
    // No larger than a file can be that this cache has room for.
    const Index room = std::min(empty.room(), empty.pool().pages() * empty.pool().page_slots());
    const Index most = bytes_of_pages(empty.pool(), room) + room * Index{sizeof(Token)} +
                       2 * kLongestText + 1024;
    file.seekg(0, std::ios::end);
    const Index size = file.tellg();
    check(size >= 0 && size <= most, path.string(), ": expected at most ", most,
          " bytes for a text of ", room, " tokens, found ", size);
    std::vector<std::byte> bytes;
    resize_list(bytes, size, "cache file");
    file.seekg(0);
    file.read(reinterpret_cast<char*>(bytes.data()), size);
    check(file.gcount() == size, path.string(), ": cannot be read to its end");
    return cache_from_bytes(bytes, path.string(), origin, empty);
}

}  // namespace kvlab
