"""Two sentences per rule for a reader who has never heard of initialisation."""

from __future__ import annotations

# By the id of a rule, or by how ids begin: the longest that fits is taken.
_TEXTS = {
    "IC1": "Training changes every weight a little, in proportion to its gradient, starting from "
    "the numbers that were drawn for it. Numbers that are badly drawn can leave a part of the "
    "network without any gradient, so that it stays as it is for ever.",
    "IC101": "A weight is moved by the product of what comes in and what is asked of its output. "
    "Where the weights around it are zero too, that product is zero in every step, and nothing "
    "ever moves.",
    "IC104": "Memory that nobody has filled holds whatever was in it before. Such a model starts "
    "from another point in each run, now and then from absurdly large numbers.",
    "IC111": "Memory that nobody has filled holds whatever was in it before. Such a model starts "
    "from another point in each run, and what was meant for that place is lost.",
    "IC133": "A normalisation keeps the mean and the spread of what it has seen, and uses them "
    "outside of training. At the start it has seen nothing: zero and one.",
    "IC134": "Waves of many lengths tell a model which position is which. If their table is empty "
    "or broken, the order of what it reads means nothing to it.",
    "IC135": "A mask tells every position which others it may look at. If it hides the wrong ones, "
    "the model sees its own answers, or nothing at all.",
    "IC2": "Units of one layer that start with equal weights see the same data and get the same "
    "corrections. They stay equal for ever, so that a hundred of them do the work of one.",
    "IC3": "A nonlinearity passes corrections on only where its curve is steep. Where its input is "
    "always on the flat part, nothing in front of it can learn.",
    "IC301": "A rectified unit that is off for every sample has slope zero everywhere. No "
    "correction passes through it, so it can never be switched on again.",
    "IC303": "A sigmoid is steep around zero and flat far from it. Weights that are too large push "
    "its input to the flat ends, where corrections all but vanish.",
    "IC305": "Attention shares out one unit of weight among positions. If one position takes all "
    "of it from the start, hardly any correction reaches the layers that choose.",
    "IC307": "Two linear layers in a row do nothing that one could not do. The depth costs time "
    "and adds nothing until a nonlinearity stands between them.",
    "IC4": "Every layer multiplies the signal on its way forward and the correction on its way "
    "back. Factors a little off one, taken to the power of the depth, leave nothing or far too "
    "much.",
    "IC401": "A layer learns from the correction that the loss sends back to it. Here the way back "
    "is cut, so the layer stays as it was drawn while the rest trains around it.",
    "IC402": "Each layer passes on a little less of what makes one sample different from the next. "
    "Behind enough such layers all samples look alike, and the best possible answer is one "
    "constant; initialisers such as Xavier's and He's choose the size of the weights so that this "
    "factor is one.",
    "IC403": "Corrections travel from the loss back to the first layer and are multiplied in each "
    "layer on the way. With factors below one the first layers hear nothing and stay as drawn.",
    "IC404": "Corrections travel back through all layers and are multiplied in each. With factors "
    "above one the first layers are thrown about by steps that are far too large.",
    "IC405": "Each layer makes its input larger. After enough of them the numbers leave the range "
    "in which anything sensible can be computed.",
    "IC5": "NaN and infinity are what arithmetic returns when it has no answer. One of them "
    "spreads to everything that is computed from it, and training is over.",
    "IC6": "A step moves the weights against the gradient by a length that the optimiser sets. Too "
    "short and nothing happens, too long and the model jumps over what it was looking for.",
    "IC7": "The start is chosen for data and losses of a usual size, about one. Numbers that are "
    "far from it make the first steps far too large or far too small.",
    "IC703": "Before it has learnt anything a model should be unsure and lose as much as a guess. "
    "One that starts far above is sure of wrong answers, and the first steps are spent on undoing "
    "that.",
    "IC8": "What a model learns is what its loss asks for, on the data as it arrives. If that is "
    "not what was meant, training goes well and the result is useless.",
    "IC801": "Losses that expect raw scores turn them into probabilities themselves. If the model "
    "has done so already they are squashed twice, and even a perfect answer keeps a high loss.",
    "IC805": "Every sample should be judged by itself. Where samples leak into each other the "
    "answer depends on who else is in the batch, which is not so in use.",
    "IC806": "A model that predicts the next word must not see it. One that does is perfect in "
    "training and worthless when it has to write.",
    "IC811": "Arrays of different shape are stretched to fit without an error. A column against a "
    "row becomes a table that compares every answer with every target.",
    "IC820": "A handful of samples can simply be learnt by heart. A model that cannot do even that "
    "has a fault that more data will not mend.",
    "IC85": "One step of training zeroes gradients, computes the loss, goes back, and steps. If "
    "one of these is missing or in the wrong place, the program runs and the model does not learn.",
    "IC901": "Some starts lie in a hollow that is not the lowest one. Whether training gets out "
    "depends on chance, so several seeds are tried and counted.",
    "IC902": "One lucky run proves little. Several seeds are trained, and as many as were asked "
    "for must reach the accuracy.",
    "IC903": "Where the slope is zero in every direction training stands still. That is good in "
    "the lowest place and bad in any other.",
    "IC904": "A wider model is meant to behave like a narrow one. Where some layer's numbers grow "
    "or shrink with the width, what was tuned on the narrow model no longer fits.",
    "IC905": "A deeper model passes its numbers through more layers. Where each multiplies them "
    "by the same factor, they are soon too large or too small to learn from.",
}


def primer(rule: str) -> str:
    """What to tell somebody new about a rule; empty for a rule that is not of this package."""
    return next((_TEXTS[rule[:n]] for n in range(len(rule), 2, -1) if rule[:n] in _TEXTS), "")
