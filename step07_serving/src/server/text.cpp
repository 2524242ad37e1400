#include <algorithm>
#include <tuple>
#include <utility>

#include <kvlab/attention/score.hpp>
#include <kvlab/serving/server_text.hpp>

namespace kvlab {

namespace {

// The longest end of `text` that is a beginning of `stop`, and not all of it.
std::size_t overlap(std::string_view text, std::string_view stop) {
    std::size_t length = std::min(text.size(), stop.size() - 1);
    while (length > 0 && !stop.starts_with(text.substr(text.size() - length))) --length;
    return length;
}

Index count_characters(std::string_view text) {
    return std::count_if(text.begin(), text.end(),
                         [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; });
}

}  // namespace

std::string StopCutter::push(std::string_view text) {
    if (stopped_) return {};
    held_ += text;
    std::size_t cut = std::string::npos, end = std::string::npos, kept = 0;
    for (const std::string& stop : stops_) {
        const std::size_t begin = held_.find(stop);
        if (begin == std::string::npos) continue;
        // Of several the one that is complete first, so that it does not matter in which pieces
        // the text comes.
        if (std::pair(begin + stop.size(), begin) < std::pair(end, cut))
            std::tie(end, cut) = std::pair(begin + stop.size(), begin);
    }
    if (cut != std::string::npos) {
        stopped_ = true;
        return std::exchange(held_, {}).substr(0, cut);
    }
    for (const std::string& stop : stops_) kept = std::max(kept, overlap(held_, stop));
    std::string ready = held_.substr(0, held_.size() - kept);
    held_.erase(0, ready.size());
    return ready;
}

std::string StopCutter::finish() {
    return stopped_ ? std::string() : std::exchange(held_, {});
}

TokenLog log_of(std::span<const float> logits, Token token, Index top) {
    const double total = log_sum_exp(logits);
    const auto likely = [&](Token one) {
        return LikelyToken{one, static_cast<double>(at(logits, one)) - total};
    };
    std::vector<Token> order(logits.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<Token>(i);
    const auto end = order.begin() + std::min<Index>(top, std::ssize(order));
    std::partial_sort(order.begin(), end, order.end(), [&](Token a, Token b) {
        return at(logits, a) > at(logits, b) || (at(logits, a) == at(logits, b) && a < b);
    });
    TokenLog log{.chosen = likely(token), .top = {}};
    for (auto it = order.begin(); it != end; ++it) log.top.push_back(likely(*it));
    return log;
}

TextSender::TextSender(const Tokenizer& tokenizer,
                       std::vector<std::string> stops,
                       std::optional<Index> logprobs)
    : tokenizer_(tokenizer), logprobs_(logprobs), cutter_(std::move(stops)) {}

SentText TextSender::push(Token token, std::span<const float> logits) {
    if (stopped() || tokenizer_.is_end(token)) return {};
    if (logprobs_ && !logits.empty()) {
        held_.push_back({log_of(logits, token, *logprobs_), written_});
        held_.back().log.offset = characters_;
    }
    const std::string whole = utf8_.push(tokenizer_.piece(token));
    written_ += whole.size();
    characters_ += count_characters(whole);
    return sent(cutter_.push(whole), false);
}

SentText TextSender::finish() {
    std::string rest = cutter_.push(utf8_.finish());
    rest += cutter_.finish();
    return sent(std::move(rest), true);
}

// A token's log goes out with its first character, and those of a stop string never do.
SentText TextSender::sent(std::string text, bool last) {
    sent_ += text.size();
    SentText result{std::move(text), {}};
    const bool all = last && !stopped();
    auto it = held_.begin();
    for (; it != held_.end() && (all || it->begin < sent_); ++it)
        result.logs.push_back(std::move(it->log));
    held_.erase(held_.begin(), it);
    return result;
}

}  // namespace kvlab
