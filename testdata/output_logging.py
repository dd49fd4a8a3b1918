import logging

logging.warning("watch %s", "out")
log = logging.getLogger("shop")
try:
    {}["k"]
except KeyError:
    log.exception("failed")
