// Prefixes by a radix tree: texts go together as long as their pages have the same tokens, and
// branch where they differ. A node has as many pages as nobody branches off between.
//
//   scope -- [ p0 p1 p2 ] --+-- [ p3 p4 ]     text A: p0 p1 p2 p3 p4
//                           +-- [ p5 ]        text B: p0 p1 p2 p5
//
// A node is split where a text leaves it, and where one ends that was found: all pages of a
// node were used last at the same time.
#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include <kvlab/serving/prefix_index.hpp>

#include "held_pages.hpp"

namespace kvlab {

namespace {

struct RadixNode;

// By the tokens of the first page, of which all children of a node have others.
struct ByFirstPage {
    using is_transparent = void;
    bool operator()(const std::unique_ptr<RadixNode>& a,
                    const std::unique_ptr<RadixNode>& b) const;
    bool operator()(const std::unique_ptr<RadixNode>& a, std::span<const Token> page) const;
    bool operator()(std::span<const Token> page, const std::unique_ptr<RadixNode>& b) const;
};

struct RadixNode {
    std::vector<Token> tokens;    // [pages, page_slots]
    std::vector<PageId> pages;    // none in a root
    RadixNode* parent = nullptr;  // null: of a root
    Index used = 0;
    std::set<std::unique_ptr<RadixNode>, ByFirstPage> children;

    std::span<const Token> first_page() const {
        return std::span(tokens).first(tokens.size() / pages.size());
    }
};

bool tokens_before(std::span<const Token> a, std::span<const Token> b) {
    return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end());
}

bool ByFirstPage::operator()(const std::unique_ptr<RadixNode>& a,
                             const std::unique_ptr<RadixNode>& b) const {
    return tokens_before(a->first_page(), b->first_page());
}

bool ByFirstPage::operator()(const std::unique_ptr<RadixNode>& a,
                             std::span<const Token> page) const {
    return tokens_before(a->first_page(), page);
}

bool ByFirstPage::operator()(std::span<const Token> page,
                             const std::unique_ptr<RadixNode>& b) const {
    return tokens_before(page, b->first_page());
}

// Where a text is no longer in the tree.
struct RadixPlace {
    RadixNode* node;  // null: there is nothing of this scope
    Index of_node;    // pages of it that are the text's; of nodes before it, all
    Index of_text;    // pages, all together
};

class RadixIndex final : public PrefixIndex {
public:
    explicit RadixIndex(PagePool& pool) : held_(pool) {}

    const char* name() const override { return "radix"; }

    std::vector<PageId> find(const std::string& scope, std::span<const Token> tokens) override;
    Index look(const std::string& scope, std::span<const Token> tokens) const override;
    void insert(const std::string& scope,
                std::span<const Token> tokens,
                std::span<const PageId> pages) override;
    Index evict(Index count) override;

    Index evictable() const override { return held_.evictable(); }

    Index held() const override { return held_.count(); }

private:
    RadixPlace walk(const std::string& scope, std::span<const Token> tokens) const;
    RadixNode* use(const RadixPlace& place);
    void split(RadixNode& node, Index pages);
    void add(RadixNode& end, std::span<const Token> tokens, std::span<const PageId> pages);
    bool drop_last(RadixNode& node);

    HeldPages held_;
    std::map<std::string, std::unique_ptr<RadixNode>> roots_;  // by scope
    LeastUsed<RadixNode> ends_;
    Index now_ = 0;
};

// ANCHOR: walk
RadixPlace RadixIndex::walk(const std::string& scope, std::span<const Token> tokens) const {
    const auto root = roots_.find(scope);
    if (root == roots_.end()) return {nullptr, 0, 0};
    RadixPlace place{root->second.get(), 0, 0};
    for (const Index pages = held_.pages_in(tokens); place.of_text < pages; ++place.of_text) {
        const std::span<const Token> page = held_.page_of(tokens, place.of_text);
        if (place.of_node == std::ssize(place.node->pages)) {
            const auto child = place.node->children.find(page);
            if (child == place.node->children.end()) break;
            place.node = child->get();
            place.of_node = 1;
        } else {
            const std::span<const Token> other =
                held_.page_of(place.node->tokens, place.of_node);
            if (!std::equal(page.begin(), page.end(), other.begin(), other.end())) break;
            ++place.of_node;
        }
    }
    return place;
}

// ANCHOR_END: walk

Index RadixIndex::look(const std::string& scope, std::span<const Token> tokens) const {
    return walk(scope, tokens).of_text;
}

// ANCHOR: split
// What comes after the first `pages` becomes a child.
void RadixIndex::split(RadixNode& node, Index pages) {
    const auto cut = node.tokens.begin() + pages * held_.page_slots();
    auto rest = std::make_unique<RadixNode>(
        RadixNode{.tokens = {cut, node.tokens.end()},
                  .pages = {node.pages.begin() + pages, node.pages.end()},
                  .parent = &node,
                  .used = node.used,
                  .children = {}});
    if (node.children.empty()) {
        ends_.remove(node);
        ends_.add(*rest);
    }
    node.tokens.erase(cut, node.tokens.end());
    node.pages.resize(usize(pages));
    rest->children.swap(node.children);
    for (const auto& child : rest->children) child->parent = rest.get();
    node.children.insert(std::move(rest));
}

// ANCHOR_END: split

// Everything up to this place is used now. Returns its node, which ends there.
RadixNode* RadixIndex::use(const RadixPlace& place) {
    if (place.of_node < std::ssize(place.node->pages)) split(*place.node, place.of_node);
    if (place.node->parent != nullptr && place.node->children.empty())
        ends_.remove(*place.node);
    for (RadixNode* node = place.node; node != nullptr; node = node->parent) node->used = now_;
    if (place.node->parent != nullptr && place.node->children.empty()) ends_.add(*place.node);
    return place.node;
}

std::vector<PageId> RadixIndex::find(const std::string& scope, std::span<const Token> tokens) {
    ++now_;
    counts_.asked += held_.pages_in(tokens);
    const RadixPlace place = walk(scope, tokens);
    if (place.of_text == 0) return {};
    std::vector<PageId> pages(usize(place.of_text));
    auto to = pages.end();
    for (const RadixNode* node = use(place); node != nullptr; node = node->parent)
        to = std::copy_backward(node->pages.begin(), node->pages.end(), to);
    counts_.found += place.of_text;
    return pages;
}

void RadixIndex::insert(const std::string& scope,
                        std::span<const Token> tokens,
                        std::span<const PageId> pages) {
    tokens = tokens.first(std::min(tokens.size(), pages.size() * usize(held_.page_slots())));
    RadixPlace place = walk(scope, tokens);
    held_.check_new(tokens, pages, place.of_text);
    ++now_;
    if (pages.empty()) return;
    if (place.node == nullptr)
        place.node = (roots_[scope] = std::make_unique<RadixNode>()).get();
    RadixNode* const end = use(place);
    if (place.of_text < std::ssize(pages))
        add(*end, tokens.subspan(usize(place.of_text * held_.page_slots())),
            pages.subspan(usize(place.of_text)));
}

// New pages after a node, which was just used: in itself if it is an end, or else in a child.
void RadixIndex::add(RadixNode& end,
                     std::span<const Token> tokens,
                     std::span<const PageId> pages) {
    PageId before = end.pages.empty() ? kNoPage : end.pages.back();
    if (end.parent != nullptr && end.children.empty()) {
        end.tokens.insert(end.tokens.end(), tokens.begin(), tokens.end());
        end.pages.insert(end.pages.end(), pages.begin(), pages.end());
    } else {
        auto made =
            std::make_unique<RadixNode>(RadixNode{.tokens = {tokens.begin(), tokens.end()},
                                                  .pages = {pages.begin(), pages.end()},
                                                  .parent = &end,
                                                  .used = now_,
                                                  .children = {}});
        ends_.add(*made);
        end.children.insert(std::move(made));
    }
    for (const PageId page : pages) held_.hold(page, std::exchange(before, page));
}

bool RadixIndex::drop_last(RadixNode& node) {
    if (held_.in_use(node.pages.back())) return false;
    held_.drop(node.pages.back());
    if (node.pages.size() > 1) {
        node.pages.pop_back();
        node.tokens.resize(node.tokens.size() - usize(held_.page_slots()));
        return true;
    }
    ends_.remove(node);
    RadixNode* const parent = node.parent;
    parent->children.erase(parent->children.find(node.first_page()));
    if (!parent->children.empty()) return true;
    if (parent->parent != nullptr)
        ends_.add(*parent);
    else
        std::erase_if(roots_, [&](const auto& root) { return root.second.get() == parent; });
    return true;
}

Index RadixIndex::evict(Index count) {
    const Index evicted =
        ends_.evict(count, [this](RadixNode& node) { return drop_last(node); });
    counts_.evicted += evicted;
    return evicted;
}

}  // namespace

std::unique_ptr<PrefixIndex> make_radix_index(PagePool& pool) {
    return std::make_unique<RadixIndex>(pool);
}

}  // namespace kvlab
