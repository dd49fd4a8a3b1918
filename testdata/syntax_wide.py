# -*- coding: utf-8 -*-
# The line above is needed: python 3.11 miscounts columns in files without it, after any character beyond ASCII.
名前 = "太郎"; 挨拶 = "こんにちは" 名前
