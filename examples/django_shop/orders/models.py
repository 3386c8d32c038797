"""What is stored of an order."""

from django.db import models


class Order(models.Model):
    """An order; ``state`` goes from new to shipped."""

    article = models.CharField(max_length=50)
    state = models.CharField(max_length=10, default="new")


class Closing(models.Model):
    """How many orders were shipped when a day was closed."""

    shipped = models.IntegerField()
