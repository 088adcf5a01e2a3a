"""Frames in, plotly figures out. Knows nothing of PyTorch, Ray or an Optuna storage.

FIGURES is the order of the page: module name, which is also the anchor, and the words of its link. A module of the
table holds CAPTION (one sentence: how to read it), `prepare(frames)`, a frozen dataclass of what is drawn, and
`figure(data)`, the drawing. Adding a figure is one new file and one line here.
"""

FIGURES: dict[str, str] = {
    "history": "History",
    "further": "Is more worth it",
    "curves": "Learning curves",
    "surface": "λ₁ and λ₂",
    "pairs": "Pairs",
    "gains": "Gains",
    "confirmed": "Confirmed",
    "methods": "Methods",
    "taught": "Who taught whom",
    "importance": "Importance",
    "interactions": "Interactions",
    "local": "Around the best",
    "ranks": "Is pruning safe",
    "parallel": "Configs",
    "tradeoff": "mIoU and cost",
}
