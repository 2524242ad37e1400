// ablation.hpp - chapter 3: the four prompts of `ablate`, and runs that differ in
// the cache alone.
#pragma once

#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include <kvlab/attention/opened_model.hpp>
#include <kvlab/tensor/sampling.hpp>

namespace kvlab::app {

struct AblationPrompt {
    const char* name;
    const char* text;
};

inline constexpr AblationPrompt kAblationPrompts[] = {
    {"sentence", "The old bridge was closed last winter, and since then"},
    {"explanation",
     "Question: Why does the moon change its shape in the course of a month? Explain it to a "
     "child.\nAnswer:"},
    {"e-mail",
     "Write an e-mail to a neighbour who has a ladder that you would like to borrow.\n\n"
     "Subject: Your ladder\n\nDear neighbour,\n"},
    {"word list", "English to French:\ncat - chat\nhouse - maison\nbread - pain\nwater -"}};

inline constexpr Index kAblationPromptCount = std::size(kAblationPrompts);

// What stands before a prompt that is shorter than the input.
inline constexpr std::string_view kPassage =
    "The harbour wakes before the sun. First come the bakers, who light their ovens while the "
    "streets are still dark, and then the fishermen, who carry their nets down to the boats. "
    "By six o'clock the ferry has left for the islands with the mail, two bicycles and a crate "
    "of apples. The keeper of the lighthouse writes the time into a thick green book, as every "
    "keeper before her has done, and adds a line about the wind. On most days it comes from "
    "the west and brings rain in the afternoon. Children walk to the school on the hill, along "
    "the old wall, and count the ships that wait outside for the tide. A ship with timber "
    "needs "
    "two hours to unload; one with stone needs the whole day. At noon the cranes stand still, "
    "and the square smells of bread and coffee. The market sells what the gardens give: beans "
    "and plums in summer, cabbage and pears in autumn, and in winter little but potatoes and "
    "honey. In the evening the boats return one by one, and whoever has time goes down to the "
    "quay to hear what was caught. The keeper lights her lamp, looks at the clock, and writes "
    "the last line of the day. Nothing much has happened, and all of it is in the book.\n\n";

// Exactly `length` tokens that end with `text`: cut at its beginning when it is longer, and
// behind the end of the passage, repeated as often as it takes, when it is shorter. The first
// token is BOS where the model wants one.
std::vector<Token> prompt_of_length(const Tokenizer& tokenizer,
                                    std::string_view text,
                                    Index length);

// One configuration and what was measured of it.
struct AblationRun {
    Index batch = 1;
    bool cached = true, sampled = false;
    std::vector<double> seconds;  // of a whole generation, one per round
    Index cache_bytes = 0;        // held at the end, by all sequences
    Index peak_bytes = 0;         // of activations, keys and values: all but the weights
    std::string checksum;         // of all logits
    std::vector<std::vector<Token>> texts;  // [batch] what was generated

    bool same_as(const AblationRun& other) const {
        return texts == other.texts && checksum == other.checksum;
    }
};

// What all runs have in common.
struct AblationJob {
    std::vector<std::vector<Token>> prompts;  // [4], of equal length
    Index output = 32;                        // tokens to generate
    SamplingOptions sampling;                 // of the sampled texts
};

// One generation of the whole batch from nothing, measured as one round of `run`. Sequence i
// takes prompt i mod 4 and the seed plus i. The end of a text does not end the run, so that
// all of them do the same work.
void run_ablation(const OpenedModel& opened, const AblationJob& job, AblationRun& run);

// The text up to the model's end of it, as UTF-8.
std::string ablation_text(const Tokenizer& tokenizer, const std::vector<Token>& tokens);

}  // namespace kvlab::app
