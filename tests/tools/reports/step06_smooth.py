"""Chapter 6: products of bytes, smoothed or with outliers apart, multiplied again in Python."""
from reports import calibrated, plain_model as plain, step06_trial as trial
from reports.checked import case, number
from reports.step06_trial import FILES, NARROW, NARROW_FILES, SMALL
from reports.step06_weights import texts


def inputs_of_products(model, head):
    """Numbers that go into the products for each token; the head's only if it is in bytes."""
    return model.layers * (model.width + model.heads * model.head_dim + model.width + model.ffn) + (model.width if head else 0)


def check_smooth(run, model, text, other, size, alphas, thresholds, factor, channel, cases=(), head=False, inner=False,
                 powers_of_two=False):
    plain_bits = trial.trial_head(run, "step06_quant smooth", model, text, size, calibration=other.count)
    for name, value in {"head": head, "inner": inner, "powers_of_two": powers_of_two}.items():
        run.given(name, value)
    tokens = size + sum(len(one["text"]) for one in cases)  # that each product has seen
    i = share = 0
    for times in (1, factor):
        base = calibrated.with_channel(model, channel, times) if times != 1 else model
        seen = calibrated.inputs_of(base, other)
        variants = [("float", None, None), ("w8a8", None, None), *(("w8a8", None, t) for t in thresholds),
                    *(("w8a8", a, None) for a in alphas)]
        for products, alpha, threshold in variants:
            path, row = f"rows[{i}]", run.json["rows"][i]
            weights = base if alpha is None else calibrated.smoothed(base, seen, alpha, powers_of_two, inner)
            engine = None if products == "float" else calibrated.ByteProducts(head, threshold or 0)
            for name, value in {"channel": times, "products": products, "alpha": alpha, "threshold": threshold}.items():
                run.given(f"{path}.{name}", value)
            if products == "float" and times == 1:
                trial.exactly_plain(run, path, plain_bits)
            else:
                shift = plain.judged(model, text, weights, linear=engine)
                trial.quality(run, path, shift, size, nothing=products == "float")
            if cases:
                trial.recall(run, path, *plain.right_answers(weights, 0, cases, linear=engine))
            trial.says_row(run, [times, products, alpha, threshold], row)
            if threshold:
                outlier = f"outlier_shares[{share}]"
                for name, value in {"channel": times, "products": products, "alpha": None, "threshold": threshold}.items():
                    run.given(f"{outlier}.{name}", value)
                run.closed_form(f"{outlier}.inputs", tokens * inputs_of_products(model, head))
                run.second_route(f"{outlier}.outliers", engine.outliers)
                run.same_report(f"{outlier}.share", engine.outliers / run.json["outlier_shares"][share]["inputs"])
                run.says(f"at or above {number(threshold)}: {number(run.json['outlier_shares'][share]['share'])} of the inputs")
                share += 1
            i += 1
        trial.says_header(run, "channel", "products", "alpha", "threshold")
    run.says(f"{model.name}, {trial.engine(run)}: {text.count} windows of {text.window} tokens, calibrated on {other.count} others",
             f"The model itself: {plain_bits:.4f} bits per byte. KL in bits, from the model itself. same: the", f"RESULT rows={i}")


@case("step06_quant", "smooth -m SCRATCH/many.gguf --window 14 --tokens 28 --calibration 20 --recall 1 --cases SCRATCH/cases.jsonl "
      "--alpha 0.5,0.75 --threshold 4,2.5 --factor 15 --channel 5", files=FILES)
def smooth(run):
    check_smooth(run, SMALL, *texts(14, 28, 20), (0.5, 0.75), (4, 2.5), 15, 5, trial.taken_cases(1))


@case("step06_quant", "smooth -m SCRATCH/many.gguf --window 14 --tokens 14 --calibration 14 --recall 0 --alpha 0.3 --threshold 2 --head "
      "--inner --powers-of-two --factor 8 --channel 0", files=FILES)
def smooth_of_everything(run):
    """The head, too, and the inputs of out and down."""
    check_smooth(run, SMALL, *texts(14, 14, 14), (0.3,), (2,), 8, 0, head=True, inner=True, powers_of_two=True)


@case("step06_quant", "smooth -m SCRATCH/narrow.gguf --window 14 --tokens 14 --calibration 30 --recall 0 --alpha 0,1 --threshold 1000000 "
      "--inner --factor 0.5", files=NARROW_FILES)
def smooth_to_either_end(run):
    """All of the channels' size in the weights, or none; no input is above the threshold. Channel 7 becomes smaller."""
    check_smooth(run, NARROW, *texts(14, 14, 30), (0, 1), (1e6,), 0.5, 7, inner=True)
