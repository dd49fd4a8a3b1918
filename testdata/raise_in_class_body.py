class Config:
    limit = 10
    values = [limit for _ in range(2)]
