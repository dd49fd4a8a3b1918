import copy
import pickle


class Account:
    def __init__(self, owner):
        self.owner = owner

    def __eq__(self, other):
        return self.owner == other.owner


a = Account("ann")
b = pickle.loads(pickle.dumps(a))
print(type(b) is Account, a == b, pickle.loads(pickle.dumps(Account)) is Account, copy.deepcopy(a) == a)
print(Account, Account.__module__, __name__)
