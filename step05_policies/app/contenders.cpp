// contenders.cpp - chapter 5: named sets of policies with options of their own, so that one
// table has them side by side.
#include <algorithm>

#include <kvlab/tensor/measure.hpp>

#include "app.hpp"

namespace kvlab::app {

namespace {

Contender contender(const std::string& label,
                    const std::string& policy,
                    const PolicyOptions& base,
                    const std::function<void(PolicyOptions&)>& change) {
    Contender one{label, policy, base};
    change(one.options);
    return one;
}

// Experiments O1 to O5, and the window of H2O's budget beside it.
std::vector<Contender> catalogue(const PolicyOptions& base) {
    std::vector<Contender> all = {contender(kFull, kFull, base, [](PolicyOptions&) {})};
    for (const Index budget : {128, 160, 256})
        all.push_back(contender(concat("window ", budget), "window", base,
                                [&](PolicyOptions& o) { o.budget = budget; }));
    for (const char* policy : {"sinks", "sinks-relative"})
        for (const Index recent : {128, 252})
            all.push_back(
                contender(concat(policy, " 4+", recent), policy, base, [&](PolicyOptions& o) {
                    o.sinks = 4;
                    o.budget = 4 + recent;
                }));
    const auto h2o = [&](Index heavy, Index recent) {
        all.push_back(
            contender(concat("h2o ", heavy, "+", recent), "h2o", base, [&](PolicyOptions& o) {
                o.budget = heavy + recent;
                o.recent = recent;
            }));
    };
    h2o(32, 128);
    h2o(224, 32);
    all.push_back(
        contender("pyramid 1,1,.5,.25", "pyramidkv-ratios", base, [](PolicyOptions& o) {
            o.ratios = {1, 1, 0.5, 0.25};
        }));
    all.push_back(contender("pyramid schedule 128", "pyramidkv", base,
                            [](PolicyOptions& o) { o.budget = 128; }));
    all.push_back(contender("minicache t .6, 5 %", "minicache", base, [](PolicyOptions& o) {
        o.direction = 0.6;
        o.retained = 0.05;
    }));
    return all;
}

// By the direction, at the paper's share; then by the share of tokens retained.
std::vector<Contender> minicaches(const PolicyOptions& base) {
    std::vector<Contender> all;
    const auto add = [&](double direction, double retained) {
        all.push_back(contender(
            concat("t ", format_number(direction), ", ", format_number(100 * retained), " %"),
            "minicache", base, [&](PolicyOptions& o) {
                o.direction = direction;
                o.retained = retained;
            }));
    };
    for (const double direction : {0.0, 0.25, 0.5, 0.6, 1.0}) add(direction, 0.05);
    for (const double retained : {0.0, 0.1, 0.2, 0.5, 1.0}) add(0.6, retained);
    return all;
}

// Budgets by layer: the same share in all and on the mean, then the same small budget.
std::vector<Contender> pyramids(const PolicyOptions& base) {
    std::vector<Contender> all;
    const auto by_ratios = [&](const char* label, const std::vector<double>& ratios) {
        all.push_back(contender(label, "pyramidkv-ratios", base,
                                [&](PolicyOptions& o) { o.ratios = ratios; }));
    };
    by_ratios("1,1,.5,.25", {1, 1, 0.5, 0.25});
    by_ratios("inverted", {0.25, 0.5, 1, 1});
    by_ratios("uniform .6875", {0.6875});
    all.push_back(contender("schedule of .6875", "pyramidkv", base,
                            [](PolicyOptions& o) { o.ratio = 0.6875; }));
    for (const Index budget : {64, 32}) {
        const auto small = [&](PolicyOptions& o) { o.budget = budget; };
        all.push_back(contender(concat("uniform ", budget), "snapkv", base, small));
        all.push_back(contender(concat("schedule ", budget), "pyramidkv", base, small));
    }
    return all;
}

}  // namespace

std::vector<std::string> names_of_sets() {
    return {"catalogue", "minicache", "pyramid"};
}

std::vector<Contender> contenders(const std::string& set,
                                  const std::vector<std::string>& names,
                                  const PolicyOptions& options) {
    if (set == "catalogue") return catalogue(options);
    if (set == "minicache") return minicaches(options);
    if (set == "pyramid") return pyramids(options);
    check(set.empty(), "there is no set '", set, "'");
    std::vector<Contender> all;
    for (const std::string& name : names) all.push_back({name, name, options});
    return all;
}

int label_width(const std::vector<Contender>& all) {
    std::size_t width = 17;
    for (const Contender& one : all) width = std::max(width, one.label.size());
    return static_cast<int>(width);
}

}  // namespace kvlab::app
