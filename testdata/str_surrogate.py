raise ValueError("lone \udcff surrogate and \x00 nul and \x1b escape")
