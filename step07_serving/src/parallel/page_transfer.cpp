#include <kvlab/serving/page_transfer.hpp>

#include <algorithm>
#include <cstring>

#include <kvlab/serving/saved_pages.hpp>
#include <kvlab/tensor/checksum.hpp>

namespace kvlab {

static_assert(sizeof(PagesHeader) == 9 * sizeof(Index), "a header has no gaps");

namespace {

std::uint64_t sum_of_words(std::span<const std::byte> bytes) {
    Checksum sum;
    for (std::size_t i = 0; i < bytes.size(); i += sizeof(std::uint32_t)) {
        std::uint32_t word = 0;
        std::memcpy(&word, bytes.data() + i, std::min(sizeof word, bytes.size() - i));
        sum.add_bits(word);
    }
    return sum.value();
}

// Of what a cache of this pool would hold.
PagesHeader header_of(const PagePool& pool, Index tokens) {
    PagesHeader header;
    header.format = kPagesFormat;
    header.tokens = tokens;
    header.pages = pool.pages_for(tokens);
    header.page_bytes = pool.page_bytes();
    header.layers = pool.shape().layers;
    header.kv_heads = pool.shape().kv_heads;
    header.head_dim = pool.shape().head_dim;
    return header;
}

void check_header(const PagesHeader& found, const PagedCache& cache) {
    const auto same = [](const char* what, Index expected, Index sent) {
        check(sent == expected, "pages: ", what, ": expected ", expected, ", ", sent,
              " were sent");
    };
    check(found.format == kPagesFormat, "pages: what arrived is no header of pages");
    check(found.tokens >= 0 && found.tokens <= cache.room(), "pages: ", found.tokens,
          " tokens were sent, there is room for ", cache.room());
    const PagesHeader expected = header_of(cache.pool(), found.tokens);
    same("layers", expected.layers, found.layers);
    same("KV heads", expected.kv_heads, found.kv_heads);
    same("head_dim", expected.head_dim, found.head_dim);
    same("bytes of a page", expected.page_bytes, found.page_bytes);
    same("pages", expected.pages, found.pages);
}

}  // namespace

// ANCHOR: send_pages
void send_pages(Ranks& ranks, Index to, const PagedCache& cache, Token next) {
    PagesHeader header = header_of(cache.pool(), cache.next_position());
    check(header.pages == std::ssize(cache.table()), "pages: ", cache.table().size(),
          " pages for ", header.tokens, " tokens: a step is open");
    header.next = next;
    std::vector<std::byte> bytes;
    visit_pages(cache, [&](std::span<std::byte> piece) {
        bytes.insert(bytes.end(), piece.begin(), piece.end());
    });
    header.checksum = sum_of_words(bytes);
    ranks.send(to, std::as_bytes(std::span(&header, 1)));
    if (header.tokens > 0) ranks.send(to, bytes);
}

// ANCHOR_END: send_pages

// ANCHOR: receive_pages
Token receive_pages(Ranks& ranks, Index from, PagedCache& cache) {
    check(cache.next_position() == 0 && cache.table().empty(),
          "pages: they are received before the first token, not after ", cache.next_position());
    PagesHeader header;
    ranks.receive(from, std::as_writable_bytes(std::span(&header, 1)));
    check_header(header, cache);
    if (header.tokens == 0) return static_cast<Token>(header.next);
    std::vector<std::byte> bytes;
    resize_list(bytes, header.pages * header.page_bytes, "pages");
    ranks.receive(from, bytes);
    const std::uint64_t sum = sum_of_words(bytes);
    check(sum == header.checksum, "pages: checksum ", hex64(sum), " arrived, ",
          hex64(header.checksum), " was sent");
    fill_pages(cache, header.tokens, bytes);
    return static_cast<Token>(header.next);
}

// ANCHOR_END: receive_pages

}  // namespace kvlab
