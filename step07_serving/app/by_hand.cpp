// by_hand.cpp - chapter 7: the examples that the chapter works out on paper, by the code that
// it teaches: pages of four tokens, who uses them, and whose beginning is whose.
#include "by_hand.hpp"

#include <cstdio>

#include <kvlab/tensor/worked_examples.hpp>

namespace kvlab::app {

PagePool paper_pool(Index pages) {
    PoolOptions options;
    options.pages = pages;
    options.page_slots = kPaperSlots;
    return PagePool(kPaperShape, options);
}

std::vector<Token> letters(const std::string& text) {
    std::vector<Token> tokens;
    for (const char letter : text) tokens.push_back(static_cast<unsigned char>(letter));
    return tokens;
}

std::string in_letters(std::span<const Token> tokens) {
    std::string text;
    for (const Token token : tokens) text += static_cast<char>(token);
    return text;
}

std::string listed(std::span<const PageId> pages) {
    std::string text;
    for (const PageId page : pages) text += concat(text.empty() ? "" : " ", page);
    return text;
}

namespace {

constexpr Index kRoom = 64;  // tokens of a text on paper

struct NamedText {
    const char* name;
    const KvStore* store;  // null: it has ended
};

// One line: the tables of the texts, and how many use each page.
void print_tables(const char* what, const PagePool& pool, std::span<const NamedText> texts) {
    std::printf("  %-24s", what);
    for (const NamedText& text : texts) {
        const auto* paged = dynamic_cast<const PagedCache*>(text.store);
        std::printf("%-10s", paged ? listed(paged->table()).c_str() : "-");
    }
    for (PageId page = 0; page < pool.pages(); ++page) {
        const Index users = pool.users(page);
        std::printf(users == 0 ? "  ." : "  %td", users);
    }
    std::printf("\n");
}

// Three texts in six pages: a shared beginning, a fork, a copy on write.
void show_pages() {
    PagePool pool = paper_pool(6);
    auto a = std::make_unique<PagedCache>(pool, kRoom);
    PagedCache b(pool, kRoom);
    std::unique_ptr<KvStore> c;
    const auto print = [&](const char* what) {
        const NamedText texts[] = {
            {"A", a.get()}, {"B", b.next_position() ? &b : nullptr}, {"C", c.get()}};
        print_tables(what, pool, texts);
    };
    std::printf("  after                   table of A  of B     of C     users of page");
    std::printf("\n  %-54s", "");
    for (Index page = 0; page < pool.pages(); ++page) std::printf("  %td", page);
    std::printf("\n");
    a->pretend(10);
    print("A: a prompt of 10");
    b.adopt(a->table().first(2));
    b.pretend(3);
    print("B: 8 of A's, 3 more");
    c = a->fork();
    print("C: a fork of A");
    dynamic_cast<PagedCache&>(*c).pretend(1);
    print("C writes a token");
    a.reset();
    print("A ends");
    b.pretend(2);
    print("B writes 2 tokens");
    const PoolCounts& counts = pool.counts();
    std::printf("  pages taken %td, shared %td, copied %td, at most %td in use at once\n",
                counts.taken, counts.shared, counts.copied, counts.most_used);
}

// Slots that are held for tokens that never come: three texts in a context of 512.
void show_waste() {
    constexpr Index kTexts[] = {10, 100, 300}, kContext = 512;
    Index tokens = 0;
    for (const Index text : kTexts) tokens += text;
    std::printf("  texts of 10, 100 and 300 tokens: %td in all\n", tokens);
    std::printf("                        slots held     unused    unused in percent\n");
    const auto print = [&](const char* how, Index held) {
        std::printf("  %-20s  %10td  %9td  %18.1f\n", how, held, held - tokens,
                    100.0 * static_cast<double>(held - tokens) / static_cast<double>(held));
    };
    print("the context for each", kContext * std::ssize(kTexts));
    for (const Index slots : {256, 64, 16}) {
        PoolOptions options;
        options.pages = 1024;
        options.page_slots = slots;
        const PagePool pool(kPaperShape, options);
        Index held = 0;
        for (const Index text : kTexts) held += pool.pages_for(text) * slots;
        print(concat("pages of ", slots).c_str(), held);
    }
}

// A text that was run, so that an index holds its whole pages.
void run(PagePool& pool, PrefixIndex& index, const std::string& text, const char* scope = "") {
    const std::vector<Token> tokens = letters(text);
    PagedCache cache(pool, kRoom);
    const std::vector<PageId> known = index.find(scope, tokens);
    cache.adopt(known);
    const Index left = std::ssize(tokens) - cache.next_position();
    if (left > 0) cache.pretend(left);
    index.insert(scope, tokens, cache.table().first(usize(std::ssize(tokens) / kPaperSlots)));
}

// Which beginnings are found: of letters, four in a page.
void show_prefix() {
    PagePool pool = paper_pool(12);
    const std::unique_ptr<PrefixIndex> index = make_chain_index(pool);
    run(pool, *index, "the cat sat on", "shop");
    std::printf("  the shop ran \"the cat sat on\"; held: %td pages\n", index->held());
    std::printf("  whose  text               whole pages  found  computed  copied\n");
    const auto print = [&](const char* scope, const std::string& text) {
        const std::vector<Token> tokens = letters(text);
        const std::vector<PageId> found = index->find(scope, tokens);
        const Index copied = pool.counts().copied;
        PagedCache cache(pool, kRoom);
        cache.adopt(found);
        // The last token is computed in any case: its row of logits is wanted.
        cache.truncate(std::min(cache.next_position(), std::ssize(tokens) - 1));
        const Index computed = std::ssize(tokens) - cache.next_position();
        cache.pretend(computed);
        std::printf("  %-5s  %-17s  %11td  %5td  %8td  %6td\n", scope,
                    concat('"', text, '"').c_str(), std::ssize(tokens) / kPaperSlots,
                    std::ssize(found), computed, pool.counts().copied - copied);
    };
    print("shop", "the cat ran off");
    print("shop", "the cat sat on");
    print("shop", "the cat sat ");
    print("shop", "a cat sat on");
    print("bank", "the cat sat on");
}

// Two texts of two tokens with one hash: 31 times the hash so far, plus the token.
void show_collision() {
    const auto hash = [](std::span<const Token> tokens) {
        std::uint64_t sum = 0;
        for (const Token token : tokens) sum = 31 * sum + static_cast<std::uint64_t>(token);
        return sum;
    };
    for (const auto& tokens : {std::vector<Token>{100, 50}, {101, 19}, {99, 81}})
        std::printf("  tokens %3d %2d   31 * %3d + %2d = %llu\n", tokens[0], tokens[1],
                    tokens[0], tokens[1], static_cast<unsigned long long>(hash(tokens)));
}

// Leaves go, those unused for longest first.
void show_eviction() {
    PagePool pool = paper_pool(12);
    const std::unique_ptr<PrefixIndex> index = make_radix_index(pool);
    for (const char* text : {"the cat sat ", "the cat ran ", "the dog ran "})
        run(pool, *index, text);
    const auto print = [&](const char* what) {
        std::printf("  %-28s", what);
        for (const char* text : {"the cat sat ", "the cat ran ", "the dog ran "})
            std::printf("  %td of 3", index->look("", letters(text)));
        std::printf("  free %2td\n", pool.free());
    };
    std::printf("  pages that are there of       the cat  the cat  the dog\n");
    std::printf("                                sat      ran      ran\n");
    print("all three ran, in this order");
    index->find("", letters("the cat sat "));
    print("the first is asked for again");
    for (const char* what : {"one page has to go", "and another", "and another"}) {
        index->evict(1);
        print(what);
    }
}

// Seven tokens are held; the last one and three guesses are fed; none of the guesses is right.
void show_rollback() {
    PagePool pool = paper_pool(6);
    PagedCache cache(pool, kRoom);
    cache.pretend(7);
    const auto print = [&](const char* what) {
        std::printf("  %-30s  tokens %2td   table %-8s  free pages %td\n", what,
                    cache.next_position(), listed(cache.table()).c_str(), pool.free());
    };
    print("before the step");
    cache.pretend(4);
    print("a token and three guesses");
    cache.truncate(8);
    print("all three guesses were wrong");
    cache.pretend(4);
    print("a token and three guesses");
    cache.truncate(11);
    print("two guesses were right");
}

// What comes next, by the last place where the same letters stood.
void show_lookup() {
    const std::unique_ptr<Drafter> drafter = make_lookup_drafter();
    std::printf("  the text so far                      guesses\n");
    for (const char* text : {"the cat sat on the c", "the cat sat on the", "a new day"}) {
        std::vector<Token> guesses;
        const std::vector<Token> tokens = letters(text);
        drafter->guess(0, tokens, 4, guesses);
        std::printf("  %-35s  %s\n", concat('"', text, '"').c_str(),
                    guesses.empty() ? "none" : concat('"', in_letters(guesses), '"').c_str());
    }
}

const cli::Subcommand kByHand = cli::worked_examples(95,
                                                     {{"pages", show_pages},
                                                      {"waste", show_waste},
                                                      {"prefix", show_prefix},
                                                      {"collision", show_collision},
                                                      {"eviction", show_eviction},
                                                      {"batching", show_batching},
                                                      {"chunks", show_chunks},
                                                      {"preemption", show_preemption},
                                                      {"lookup", show_lookup},
                                                      {"rollback", show_rollback}});

}  // namespace

}  // namespace kvlab::app
