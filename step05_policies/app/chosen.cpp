// chosen.cpp - chapter 5: the policies that a command runs, and how it makes their stores.
#include "app.hpp"

namespace kvlab::app {

std::vector<std::string> chosen_policies(const std::vector<std::string>& names,
                                         const OpenedModel& opened) {
    if (!names.empty()) return names;
    std::vector<std::string> all;
    for (const PolicyEntry& entry : all_policies())
        if (entry.runs(opened.model->config)) all.push_back(entry.name);
    return all;
}

MakePolicy maker_of(OpenedModel& opened,
                    const std::string& name,
                    const PolicyOptions& options) {
    return [&opened, &options, name](std::span<const Token> text, Index prompt) {
        PolicyContext context = policy_context(opened.decoder, std::ssize(text));
        context.level = opened.level;
        context.prompt = prompt;
        look_ahead(context, find_policy(name), options, opened.decoder, text);
        return find_policy(name).make(context, options);
    };
}

}  // namespace kvlab::app
