// chosen.cpp - chapter 5: the policies that a command runs, and how it makes their stores.
#include "app.hpp"

namespace kvlab::app {

std::vector<std::string> chosen_policies(const std::vector<std::string>& names,
                                         const Session& session) {
    if (!names.empty()) return names;
    std::vector<std::string> all;
    for (const PolicyEntry& entry : all_policies())
        if (entry.runs(session.model->config)) all.push_back(entry.name);
    return all;
}

MakePolicy maker_of(Session& session, const std::string& name, const PolicyOptions& options) {
    return [&session, &options, name](std::span<const Token> text, Index prompt) {
        PolicyContext context = policy_context(session.decoder, std::ssize(text));
        context.level = session.level;
        context.prompt = prompt;
        if (find_policy(name).needs_future)
            context.future = std::make_shared<FutureShares>(session.decoder, text);
        return find_policy(name).make(context, options);
    };
}

}  // namespace kvlab::app
