// Machines and models that nobody here has, by their data sheets.
#include <kvlab/serving/costs.hpp>

namespace kvlab {

StepCost Machine::cost() const {
    check(bytes_per_second > 0 && flops_per_second > 0 && bytes_efficiency > 0 &&
              flops_efficiency > 0,
          name, ": a machine without bandwidth or arithmetic");
    const double per_byte = 1 / (bytes_per_second * bytes_efficiency);
    const double per_flop = 1 / (flops_per_second * flops_efficiency);
    return {.per_step = seconds_per_step,
            .per_weight_byte = per_byte,
            .per_flop = per_flop,
            .per_cache_byte = per_byte,
            .per_attention_flop = per_flop};
}

// ANCHOR: h100
// NVIDIA's data sheet of the H100 SXM (2023): 80 GB of HBM3 at 3.35 TB/s, 989 TFLOP/s in bf16
// without sparsity. The rest is assumed: 80 % of the bandwidth and 60 % of the arithmetic are
// reached; a step costs 2 ms besides, for its launches and the scheduler; 2 GB hold activations
// and the runtime. Between GPUs every layer needs two exchanges, of 12 microseconds each.
Machine h100(Index gpus, Index layers) {
    check(gpus >= 1 && gpus <= 8, "H100: expected 1 to 8 GPUs, found ", gpus);
    constexpr Index kGiga = 1'000'000'000;
    const auto n = static_cast<double>(gpus);
    const double exchanges = gpus > 1 ? 2 * 12e-6 * static_cast<double>(layers) : 0;
    return {.name = gpus == 1 ? "one H100" : concat(gpus, " H100"),
            .memory_bytes = gpus * 80 * kGiga,
            .bytes_per_second = n * 3.35e12,
            .flops_per_second = n * 989e12,
            .bytes_efficiency = 0.8,
            .flops_efficiency = 0.6,
            .seconds_per_step = 2e-3 + exchanges,
            .reserved_bytes = gpus * 2 * kGiga};
}

// ANCHOR_END: h100

Index tokens_that_fit(const Machine& machine, const ServedModel& model) {
    return (machine.memory_bytes - machine.reserved_bytes - model.resident_bytes) /
           model.bytes_per_token;
}

ServedModel model_70b(Index bytes_per_weight, Index bytes_per_number) {
    Config config;
    config.name = "70B";
    config.vocab = 128256;
    config.dim = 8192;
    config.layers = 80;
    config.heads = 64;
    config.kv_heads = 8;
    config.head_dim = config.rope_dim = 128;
    config.ffn = 28672;
    config.context = 1 << 18;  // more than any text of a trace
    config.validate("70B");
    const ServedModel floats = ServedModel::of_floats(config);
    return {config, floats.weight_bytes / 4 * bytes_per_weight,
            floats.bytes_per_token / 4 * bytes_per_number,
            floats.resident_bytes / 4 * bytes_per_weight};
}

}  // namespace kvlab
