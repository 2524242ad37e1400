// recording.hpp - chapter 5: which tokens every policy held, step by step, in a file: one JSON
// line each, for tools/policy_viewer.py.
//
//   header  {"kvlab_policies": 1, "model", "engine", "config": {"layers", "heads", "kv_heads",
//            "head_dim"}, "pieces": [text], "whole", "recall": null or {"distance", "needle":
//            [positions], "question": [positions]}, "budget", "ratio", "seed",
//            "classes": [names], "policies": [{"name", "idea", "paper"}]}
//   step    {"policy", "step", "likeliest", "right", "bits", "bytes", "held": [L * Hkv],
//            "changes": [[layer * Hkv + head, first, last, class], ...]}
//
// All policies read the same text, "pieces": the first "whole" tokens in step 0, then one in
// each step; the last piece is never fed, it is what the last step is asked for. "likeliest" is
// the token that the logits of the step prefer, "right" whether it is the next of the text,
// "bits" what the next of the text costs. A change is a run of positions, ends included, that
// have a class (its place in "classes") from this step on; tokens come as a change, too. "held"
// counts those that are not evicted, for each layer and KV head.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include <kvlab/attention/opened_model.hpp>
#include <kvlab/policies/slot_classes.hpp>
#include <kvlab/tensor/report.hpp>

namespace kvlab::app {

class RecordingWriter {
public:
    // The file gets its name when finish() is called; before, nothing is there.
    RecordingWriter(std::shared_ptr<OutputFile> file, const Json& header);

    // What follows belongs to this policy.
    void start(const std::string& policy);

    // What the store holds between two steps. `outcome` has "likeliest", "right" and "bits".
    void step(const PolicyStore& store, const Json& outcome);

    void finish();

private:
    void write(const Json& line);

    std::shared_ptr<OutputFile> file_;
    std::string policy_;
    Index step_ = 0;
    std::vector<std::vector<SlotClass>> known_;  // [L * Hkv], by position
};

}  // namespace kvlab::app
