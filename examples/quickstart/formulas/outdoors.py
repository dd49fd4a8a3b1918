# Is it a day to be outdoors? A score of bell curves around what most people like, as a word.
import math

BEST = {"warmth": (22, 8), "rain": (0, 4), "wind": (2, 4)}


def liking(kind, value):
    best, width = BEST[kind]
    return math.exp(-(((value - best) / width) ** 2))


def verdict(score):
    return next(word for limit, word in ((0.5, "great"), (0.1, "fine"), (0, "stay in")) if score >= limit)


score = liking("warmth", temp_max) * liking("rain", precipitation) * liking("wind", wind)
result = verdict(score)
