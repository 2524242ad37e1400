// plain_cache.hpp - a cache that evicts, as simply as it can be said: a list of tokens for each
// layer and KV head, the plain attention over it, and policies written a second time. What
// SlotCache does must be what this does, slot by slot and bit by bit.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include <kvlab/attention/attention.hpp>
#include <kvlab/tensor/checksum.hpp>
#include <kvlab/tensor/numerics.hpp>
#include <kvlab/tensor/rope.hpp>

#include "random_data.hpp"

namespace kvlab::test {

struct PlainToken {
    Index position;
    std::vector<float> key, value;
    float sum = 0;           // of shares received
    float last = 0;          // share of the last query
    std::vector<int> votes;  // of each query that saw it: 1 if more than an even share
};

struct PlainRules {
    std::string policy = "window";
    Index budget = 8, sinks = 0, recent = 0;
    float forget = 1.0f;
    Index votes = 0;
    std::string reduce = "mean";
    const RopeTable* relative = nullptr;
};

class PlainCache {
public:
    PlainCache(const KvShape& of, const PlainRules& by)
        : shape(of), rules(by), lists(usize(of.layers * of.kv_heads)) {}

    std::vector<PlainToken>& list(Index layer, Index h) {
        return at(lists, layer * shape.kv_heads + h);
    }

    // One layer of a step: rows in, attention out [T, Hq, D]; then forget().
    Tensor step(Index layer, const Tensor& k, const Tensor& v, const Tensor& q) {
        const Index T = k.dim(0), D = shape.head_dim, Hkv = shape.kv_heads;
        const Index G = shape.heads / Hkv;
        Tensor out({T, shape.heads, D});
        for (Index t = 0; t < T; ++t) {
            std::vector<std::vector<float>> rows;  // of every query head
            for (Index h = 0; h < Hkv; ++h) {
                auto& tokens = list(layer, h);
                PlainToken token{seen + t,
                                 std::vector<float>(&k(t, h, 0), &k(t, h, 0) + D),
                                 std::vector<float>(&v(t, h, 0), &v(t, h, 0) + D),
                                 0,
                                 0,
                                 {}};
                tokens.push_back(token);
                for (Index g = 0; g < G; ++g)
                    rows.push_back(attend(tokens, &q(t, h * G + g, 0), &out(t, h * G + g, 0)));
            }
            for (Index h = 0; h < Hkv; ++h) {
                const Index first = rules.policy == "tova" ? 0 : h * G;
                const Index count = rules.policy == "tova" ? shape.heads : G;
                look(list(layer, h), reduced(rows, first, count));
            }
        }
        return out;
    }

    // After a step of T tokens in all layers.
    void forget(Index T) {
        seen += T;
        for (auto& tokens : lists) evict(tokens);
    }

    KvShape shape;
    PlainRules rules;
    std::vector<std::vector<PlainToken>> lists;  // [L * Hkv], in slot order
    Index seen = 0;

private:
    // Returns the share of each token.
    std::vector<float> attend(const std::vector<PlainToken>& tokens,
                              const float* query,
                              float* out) const {
        const Index S = std::ssize(tokens), D = shape.head_dim;
        Tensor k({S, D}), v({S, D}), q({D});
        std::copy_n(query, D, q.data());
        for (Index s = 0; s < S; ++s) {
            const PlainToken& token = at(tokens, s);
            std::copy_n(token.key.data(), D, &k(s, 0));
            std::copy_n(token.value.data(), D, &v(s, 0));
            if (rules.relative != nullptr) rules.relative->rotate(&k(s, 0), rank(tokens, s));
        }
        if (rules.relative != nullptr) {
            rules.relative->rotate(q.data(), S - 1);
            for (float& x : q.flat()) x *= log2e_over(std::sqrt(static_cast<double>(D)));
        }
        attention_plain(q.view(), k.view(), v.view(), View<float>(out, {D}));
        std::vector<float> scores, weights(tokens.size());
        for (Index s = 0; s < S; ++s) scores.push_back(dot(q.data(), &k(s, 0), D));
        const float total = softmax_weights(scores, weights);
        for (float& weight : weights) weight *= 1.0f / total;
        return weights;
    }

    static Index rank(const std::vector<PlainToken>& tokens, Index s) {
        return std::count_if(tokens.begin(), tokens.end(), [&](const PlainToken& other) {
            return other.position < at(tokens, s).position;
        });
    }

    std::vector<float> reduced(const std::vector<std::vector<float>>& rows,
                               Index first,
                               Index count) const {
        std::vector<float> row = at(rows, first);
        for (Index g = 1; g < count; ++g)
            for (std::size_t s = 0; s < row.size(); ++s) {
                const float other = at(rows, first + g)[s];
                row[s] = rules.reduce == "max" ? std::max(row[s], other) : row[s] + other;
            }
        if (rules.reduce == "mean" && count > 1)
            for (float& share : row) share *= 1.0f / static_cast<float>(count);
        return row;
    }

    void look(std::vector<PlainToken>& tokens, const std::vector<float>& shares) const {
        for (std::size_t s = 0; s < shares.size(); ++s) {
            tokens[s].sum = tokens[s].sum * rules.forget + shares[s];
            tokens[s].last = shares[s];
            tokens[s].votes.push_back(
                shares[s] >= 1.0f / static_cast<float>(shares.size()) ? 1 : 0);
        }
    }

    float rating(const PlainToken& token) const {
        const Index age = seen - token.position;
        if (token.position < rules.sinks) return INFINITY;
        if (rules.policy == "window") return static_cast<float>(token.position);
        if (age <= rules.recent) return INFINITY;
        if (rules.policy == "h2o") return token.sum;
        if (rules.policy == "h2o-mean") return token.sum / static_cast<float>(age);
        if (rules.policy == "tova") return token.last;
        if (rules.policy == "key-norm")
            return -dot(token.key.data(), token.key.data(), shape.head_dim);
        const Index asked = rules.votes > 0 ? std::min(age, rules.votes) : age;
        float votes = 0;  // scissorhands
        for (Index i = 0; i < asked; ++i)
            votes += static_cast<float>(token.votes[token.votes.size() - 1 - usize(i)]);
        return votes / static_cast<float>(asked);
    }

    void evict(std::vector<PlainToken>& tokens) const {
        const std::size_t budget = usize(rules.budget);
        if (tokens.size() <= budget) return;
        std::vector<std::size_t> order(tokens.size());
        for (std::size_t s = 0; s < order.size(); ++s) order[s] = s;
        std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
            const float x = rating(tokens[a]), y = rating(tokens[b]);
            return x > y || (x == y && tokens[a].position < tokens[b].position);
        });
        std::vector<bool> stays(tokens.size());
        for (std::size_t i = 0; i < budget; ++i) stays[order[i]] = true;
        std::vector<PlainToken> left, movers;
        for (std::size_t s = budget; s < tokens.size(); ++s)
            if (stays[s]) movers.push_back(tokens[s]);
        std::size_t next = 0;
        for (std::size_t s = 0; s < budget; ++s)
            left.push_back(stays[s] ? tokens[s] : movers[next++]);
        tokens = left;
    }
};

}  // namespace kvlab::test
