from datetime import datetime

print(datetime.strptime("2012-01-31", "%Y-%m-%d").isoformat())
datetime.strptime("31/31/2012", "%d/%m/%Y")
